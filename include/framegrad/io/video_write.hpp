// Writing video through FFmpeg's libav*: mp4 and animated webp.
//
// A file appears whole or not at all: it is written under a temporary name and renamed. The same film and settings give
// the same bytes. MP4 holds H.264 where FFmpeg has libx264, else MPEG-4 part 2, always as yuv420p, which every player
// takes; that format needs even sizes, so an odd width or height grows by one, its last column or row repeated.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>

#include <framegrad/io/atomic_file.hpp>
#include <framegrad/io/film.hpp>
#include <framegrad/io/libav.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {

/// An open output file: muxer, encoder, and the conversion of RGB frames to what the encoder takes.
class VideoWriter {
 public:
  using Setup = std::function<void(AVCodecContext&, av::Options&)>;

  /// `name` stands in errors, `path` is written.
  VideoWriter(std::string name, const std::string& path, const char* muxer, const AVCodec* encoder, Index width, Index height,
              double fps, const Setup& setup, av::Options& muxer_options)
      : name_(std::move(name)), width_(width), height_(height) {
    AVFormatContext* raw = nullptr;
    const std::string url = "file:" + path;   // the muxer opens it again to move the index to the front
    av::check_av(avformat_alloc_output_context2(&raw, nullptr, muxer, url.c_str()), name_, "can't write this format");
    output_.reset(raw);
    raw->flags |= AVFMT_FLAG_BITEXACT;

    codec_ = av::owned<av::Codec>(avcodec_alloc_context3(encoder));
    AVCodecContext& c = *codec_;
    c.framerate = av_d2q(fps, 60000);
    c.time_base = av_inv_q(c.framerate);
    c.width = int(width), c.height = int(height);
    c.thread_count = 1;
    c.flags |= AV_CODEC_FLAG_BITEXACT;
    if (raw->oformat->flags & AVFMT_GLOBALHEADER) c.flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    av::Options options;
    setup(c, options);
    av::check_av(avcodec_open2(&c, encoder, options.get()), name_, text("can't start the encoder ", encoder->name));

    stream_ = avformat_new_stream(raw, nullptr);
    check<OutOfMemory>(stream_ != nullptr, "video", "FFmpeg could not allocate its state");
    stream_->time_base = c.time_base;
    stream_->avg_frame_rate = stream_->r_frame_rate = c.framerate;
    av::check_av(avcodec_parameters_from_context(stream_->codecpar, &c), name_, "can't describe the video");

    source_ = picture(AV_PIX_FMT_RGB24);
    frame_ = picture(c.pix_fmt);
    frame_->color_range = c.color_range, frame_->colorspace = c.colorspace;
    packet_ = av::owned<av::Packet>(av_packet_alloc());
    scaler_ = av::owned<av::Scaler>(sws_getContext(c.width, c.height, AV_PIX_FMT_RGB24, c.width, c.height, c.pix_fmt,
                                                   SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP, nullptr, nullptr, nullptr));

    av::check_av(avio_open(&raw->pb, url.c_str(), AVIO_FLAG_WRITE), name_, "can't open it for writing");
    av::check_av(avformat_write_header(raw, muxer_options.get()), name_, "can't write its header");
  }

  /// rgb [H, W, 3], no larger than the video; what is missing repeats the last row and column.
  void add(const std::uint8_t* rgb, Index H, Index W) {
    for (Index y = 0; y < height_; ++y) {   // a copy: swscale reads some bytes past the last pixel
      std::uint8_t* row = source_->data[0] + y * source_->linesize[0];
      std::memcpy(row, rgb + std::min(y, H - 1) * W * 3, std::size_t(W * 3));
      for (Index x = W; x < width_; ++x) std::memcpy(row + x * 3, row + (W - 1) * 3, 3);
    }
    av::check_av(av_frame_make_writable(frame_.get()), name_, "no memory for a picture");
    av::check_av(sws_scale(scaler_.get(), source_->data, source_->linesize, 0, int(height_), frame_->data, frame_->linesize),
                 name_, "can't convert its pixels");
    frame_->pts = count_++;
    encode(frame_.get());
  }

  void finish() {
    encode(nullptr);
    av::check_av(av_write_trailer(output_.get()), name_, "can't finish it");
    av::check_av(avio_closep(&output_->pb), name_, "can't close it");
  }

 private:
  struct CloseOutput {
    void operator()(AVFormatContext* p) const {
      avio_closep(&p->pb);
      avformat_free_context(p);
    }
  };

  av::Frame picture(AVPixelFormat format) const {
    auto frame = av::owned<av::Frame>(av_frame_alloc());
    frame->format = format, frame->width = int(width_), frame->height = int(height_);
    av::check_av(av_frame_get_buffer(frame.get(), 0), name_, "no memory for a picture");
    for (const AVBufferRef* b : frame->buf)   // the margins are read too: undefined bytes there end up in the file
      if (b) std::memset(b->data, 0, b->size);
    return frame;
  }

  void encode(const AVFrame* frame) {
    av::check_av(avcodec_send_frame(codec_.get(), frame), name_, "can't encode a frame");
    for (;;) {
      const int got = avcodec_receive_packet(codec_.get(), packet_.get());
      if (got == AVERROR(EAGAIN) || got == AVERROR_EOF) return;
      av::check_av(got, name_, "can't encode a frame");
      if (packet_->duration == 0) packet_->duration = 1;
      av_packet_rescale_ts(packet_.get(), codec_->time_base, stream_->time_base);
      packet_->stream_index = stream_->index;
      av::check_av(av_interleaved_write_frame(output_.get(), packet_.get()), name_, "can't write a frame");
      if (output_->pb) av::check_av(output_->pb->error, name_, "can't write a frame");
    }
  }

  std::string name_;
  Index width_, height_, count_ = 0;
  std::unique_ptr<AVFormatContext, CloseOutput> output_;
  AVStream* stream_ = nullptr;
  av::Codec codec_;
  av::Frame source_, frame_;
  av::Packet packet_;
  av::Scaler scaler_;
};

inline void check_writable(const std::string& path, const Film& film, double fps, Index max_side) {
  film.validate();
  check<ConfigError>(fps >= 0.01 && fps <= 1000, path, fps, " frames a second, needed is 0.01 to 1000");
  check_shape(film.width <= max_side && film.height <= max_side, path, film.height, "x", film.width,
              " pixels, this format takes up to ", max_side, " a side");
}

}  // namespace detail

struct Mp4Options {
  int crf = 17;   // libx264's quality: 0 is best and largest, 51 worst; 17 looks like the original
};

/// film [T, H, W, 3] → an mp4 file. Throws FileError if it can't be written; a file already at `path` then stays.
inline void write_mp4(const std::string& path, const Film& film, double fps, const Mp4Options& options = {}) {
  detail::check_writable(path, film, fps, 16384);
  check<ConfigError>(options.crf >= 0 && options.crf <= 51, path, "crf is ", options.crf, ", needed is 0 to 51");
  av::silence_log();
  const AVCodec* x264 = avcodec_find_encoder_by_name("libx264");
  const AVCodec* encoder = x264 ? x264 : avcodec_find_encoder(AV_CODEC_ID_MPEG4);
  check<FileError>(encoder != nullptr, path, "this FFmpeg has neither libx264 nor mpeg4 as an encoder");

  const auto setup = [&](AVCodecContext& c, av::Options& o) {
    c.pix_fmt = AV_PIX_FMT_YUV420P;
    c.color_range = AVCOL_RANGE_MPEG;   // what swscale makes of RGB; unsaid, players guess by the size
    c.colorspace = AVCOL_SPC_SMPTE170M;
    if (x264) {
      o.set("crf", std::to_string(options.crf));
      o.set("mbtree", "0");   // with it, small films come out differently from run to run: it reads memory that it never wrote
    } else {
      c.flags |= AV_CODEC_FLAG_QSCALE;
      c.global_quality = FF_QP2LAMBDA * (2 + options.crf / 2);
    }
  };
  const Index h = film.height + film.height % 2, w = film.width + film.width % 2;
  av::Options muxer_options;
  muxer_options.set("movflags", "+faststart");   // the index first: a browser shows it while it loads
  detail::TemporaryFile file(path);
  detail::VideoWriter writer(path, file.path(), "mp4", encoder, w, h, fps, setup, muxer_options);
  for (Index t = 0; t < film.frames; ++t) writer.add(film.frame(t), film.height, film.width);
  writer.finish();
  file.rename_to(path);
}

struct WebpOptions {
  bool lossless = false;
  int quality = 85;   // 0 to 100; where lossless, the effort
  int loops = 0;      // 0: for ever
};

/// film [T, H, W, 3] → an animated webp, at any size up to 16383. Throws FileError if it can't be written, or if FFmpeg was built
/// without libwebp.
inline void write_webp(const std::string& path, const Film& film, double fps, const WebpOptions& options = {}) {
  detail::check_writable(path, film, fps, 16383);
  check<ConfigError>(options.quality >= 0 && options.quality <= 100, path, "quality is ", options.quality, ", needed is 0 to 100");
  check<ConfigError>(options.loops >= 0 && options.loops <= 65535, path, "loops is ", options.loops, ", needed is 0 to 65535");
  av::silence_log();
  const AVCodec* encoder = avcodec_find_encoder_by_name("libwebp_anim");
  check<FileError>(encoder != nullptr, path, "this FFmpeg has no encoder libwebp_anim");
  const auto setup = [&](AVCodecContext& c, av::Options& o) {
    c.pix_fmt = AV_PIX_FMT_RGB32;   // libwebp converts by itself, at any size
    o.set("lossless", options.lossless ? "1" : "0");
    o.set("quality", std::to_string(options.quality));
  };
  av::Options muxer_options;
  muxer_options.set("loop", std::to_string(options.loops));
  detail::TemporaryFile file(path);
  detail::VideoWriter writer(path, file.path(), "webp", encoder, film.width, film.height, fps, setup, muxer_options);
  for (Index t = 0; t < film.frames; ++t) writer.add(film.frame(t), film.height, film.width);
  writer.finish();
  file.rename_to(path);
}

}  // namespace fg::inline FRAMEGRAD_ABI
