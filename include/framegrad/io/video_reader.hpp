// Reading video: mp4, webm, mkv, avi, gif and single pictures, through FFmpeg's libav*.
//
//   VideoReader   frames one by one, in the order of display; time is counted from the file's own start
//
// Files are untrusted. Only local files are opened, and only as one of the formats named below, so that a playlist under
// another name can't make the program open something else. Damage is counted, never hidden: read_video (video.hpp)
// refuses a damaged file unless asked otherwise. A rotation noted in the file is applied. Pixels are taken as square. Colours follow
// what the file says; one that says nothing is taken as BT.601 in limited range, as the ffmpeg program does.
// Decoding uses one thread, so that a damaged file too gives the same frames each time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include <framegrad/io/film.hpp>
#include <framegrad/io/libav.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct VideoInfo {
  Index width = 0, height = 0;   // as shown: after rotation
  double fps = 0;                // 0: the file doesn't say
  Index frames = 0;              // by the header, or duration times fps: an estimate; 0: unknown
  double duration_s = 0;         // 0: unknown
  std::string format, codec;
};

class VideoReader {
 public:
  /// Opens the file and its first video stream. Throws FileError if it can't be read, holds no video, or if a frame would
  /// have more than `max_pixels`.
  explicit VideoReader(std::string path, Index max_pixels = kMaxPixels) : path_(std::move(path)), max_pixels_(max_pixels) {
    open();
  }

  const VideoInfo& info() const { return info_; }

  /// Decodes the next frame; false at the end of the file.
  bool next() {
    while (std::exchange(pending_, false) || decode()) {
      if (time_us_ < skip_until_us_) continue;
      damaged_ += frame_->decode_error_flags != 0 || (frame_->flags & AV_FRAME_FLAG_CORRUPT) != 0;
      return true;
    }
    return false;
  }

  /// Time of the frame that next() decoded, in seconds from the file's start.
  double time_s() const { return double(time_us_) / AV_TIME_BASE; }

  /// Writes the frame that next() decoded to rgb [height, width, 3].
  void copy_rgb(std::uint8_t* rgb) {
    convert();
    const av::Orientation o = orientation_;
    const Index H = info_.height, W = info_.width;
    const std::uint8_t* stored = picture_->data[0];
    const Index row = picture_->linesize[0];
    if (!o.swap && !o.flip_x && !o.flip_y) {
      for (Index y = 0; y < H; ++y) std::memcpy(rgb + y * W * 3, stored + y * row, std::size_t(W * 3));
      return;
    }
    const Index w = picture_->width, h = picture_->height;
    for (Index y = 0; y < H; ++y)
      for (Index x = 0; x < W; ++x, rgb += 3) {
        const Index sx = o.swap ? y : x, sy = o.swap ? x : y;
        std::memcpy(rgb, stored + (o.flip_y ? h - 1 - sy : sy) * row + (o.flip_x ? w - 1 - sx : sx) * 3, 3);
      }
  }

  /// After this, next() gives the first frame at `time_s` or later. Throws FileError if the file can't be read again.
  void seek(double time_s) {
    check<FileError>(std::isfinite(time_s) && std::abs(time_s) < 1e12, path_, "can't seek to ", time_s, " s");
    const std::int64_t target = std::llround(time_s * AV_TIME_BASE);
    skip_until_us_ = std::numeric_limits<std::int64_t>::min();
    pending_ = false;
    if (!jump(target)) open();
    skip_until_us_ = target;
  }

  /// Packets and frames so far that were incomplete or didn't decode cleanly.
  Index damaged() const { return damaged_; }

  static constexpr Index kMaxPixels = Index(1) << 26;   // 8192 x 8192

 private:
  // Containers and pictures that hold their own data. Names are FFmpeg's.
  static constexpr const char* kFormats =
      "mov,matroska,avi,gif,apng,ogg,flv,mpegts,mpeg,asf,image2,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,ppm_pipe,tiff_pipe";
  static constexpr int kMaxProbedStreams = 64;
  static constexpr int kMaxErrorsAtEnd = 256;   // while the decoder gives out its last frames

  struct CloseInput {
    void operator()(AVFormatContext* p) const { avformat_close_input(&p); }
  };

  void open() {
    av::silence_log();
    damaged_ = 0, errors_at_end_ = 0, draining_ = pending_ = false, fresh_ = true;
    codec_.reset(), input_.reset();

    av::Options options;
    options.set("protocol_whitelist", "file");
    options.set("format_whitelist", kFormats);
    options.set("pattern_type", "none");   // a % in a picture's name is a %, not a row of files
    options.set("max_streams", std::to_string(kMaxProbedStreams));
    AVFormatContext* raw = nullptr;
    av::check_av(avformat_open_input(&raw, ("file:" + path_).c_str(), nullptr, options.get()), path_, "can't open it as a video");
    input_.reset(raw);
    probe();

    const AVCodec* decoder = nullptr;
    const int index = av::check_av(av_find_best_stream(raw, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0), path_, "no video in it");
    stream_ = raw->streams[index];
    for (unsigned i = 0; i < raw->nb_streams; ++i)
      if (int(i) != index) raw->streams[i]->discard = AVDISCARD_ALL;

    codec_ = av::owned<av::Codec>(avcodec_alloc_context3(decoder));
    av::check_av(avcodec_parameters_to_context(codec_.get(), stream_->codecpar), path_, "its parameters are wrong");
    codec_->pkt_timebase = stream_->time_base;
    codec_->max_pixels = max_pixels_;
    codec_->thread_count = 1;
    av::check_av(avcodec_open2(codec_.get(), decoder, nullptr), path_, "can't open its decoder");

    if (!packet_) packet_ = av::owned<av::Packet>(av_packet_alloc());
    if (!frame_) frame_ = av::owned<av::Frame>(av_frame_alloc());
    describe(decoder->name);
  }

  /// Lets FFmpeg decode the first frames, under the same limit on their size: some files tell their format in no other way.
  void probe() {
    AVFormatContext& f = *input_;
    std::vector<AVDictionary*> options(f.nb_streams, nullptr);
    for (auto& o : options) {
      av_dict_set_int(&o, "max_pixels", max_pixels_, 0);
      av_dict_set_int(&o, "threads", 1, 0);
    }
    const std::size_t count = options.size();   // probing may find further streams: those take no options
    const int result = avformat_find_stream_info(&f, options.data());
    for (std::size_t i = 0; i < count; ++i) av_dict_free(&options[i]);
    av::check_av(result, path_, "can't find what it holds");
  }

  void describe(const char* codec_name) {
    const AVFormatContext& f = *input_;
    stored_width_ = codec_->width, stored_height_ = codec_->height;
    check<FileError>(stored_width_ > 0 && stored_height_ > 0, path_, "frames of ", stored_width_, " x ", stored_height_, " pixels");
    check<FileError>(Index(stored_width_) * stored_height_ <= max_pixels_, path_, "frames of ", stored_width_, " x ",
                     stored_height_, " pixels, allowed are ", max_pixels_);
    orientation_ = {};
    if (const std::uint8_t* data = av::display_matrix(*stream_)) {
      std::int32_t matrix[9];
      std::memcpy(matrix, data, sizeof matrix);
      orientation_ = av::Orientation::of_matrix(matrix);
    }
    info_.width = orientation_.swap ? stored_height_ : stored_width_;
    info_.height = orientation_.swap ? stored_width_ : stored_height_;
    info_.format = f.iformat->name;
    info_.codec = codec_name;

    const AVRational rate = av_guess_frame_rate(input_.get(), stream_, nullptr);
    info_.fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
    step_us_ = info_.fps > 0 ? std::int64_t(AV_TIME_BASE / info_.fps) : AV_TIME_BASE / 25;
    info_.duration_s = stream_->duration > 0 ? double(stream_->duration) * av_q2d(stream_->time_base)
                       : f.duration > 0      ? double(f.duration) / AV_TIME_BASE
                                             : 0;
    const double estimate = std::min(std::round(info_.duration_s * info_.fps), 1e15);
    info_.frames = stream_->nb_frames > 0 ? stream_->nb_frames : Index(estimate);
    start_us_ = f.start_time == AV_NOPTS_VALUE ? 0 : f.start_time;
    time_us_ = -step_us_;
  }

  /// Goes to a place in the file from which the frame at `target` can be decoded; false if only the start will do.
  bool jump(std::int64_t target) {
    // A frame of these is painted over the one before; only the first stands alone.
    if (codec_->codec_id == AV_CODEC_ID_GIF || codec_->codec_id == AV_CODEC_ID_APNG) return false;
    if (target <= 0) return false;
    // The first packet may tell the decoder what none after it does (which x264 wrote it: FFmpeg reads 4:4:4 by that).
    if (fresh_ && !decode()) return false;
    const std::int64_t at = av_rescale_q(target + start_us_, AV_TIME_BASE_Q, stream_->time_base);
    if (av_seek_frame(input_.get(), stream_->index, at, AVSEEK_FLAG_BACKWARD) < 0) return false;
    avcodec_flush_buffers(codec_.get());
    draining_ = false, errors_at_end_ = 0;
    // An index can lie, or count in decoding order: believe the first frame that it led to.
    return pending_ = next() && time_us_ <= target;
  }

  /// The next frame that the decoder gives, into frame_.
  bool decode() {
    for (;;) {
      const int got = avcodec_receive_frame(codec_.get(), frame_.get());
      if (got == 0) {
        fresh_ = false;
        const std::int64_t t = frame_->best_effort_timestamp;
        time_us_ = t == AV_NOPTS_VALUE ? time_us_ + step_us_ : av_rescale_q(t, stream_->time_base, AV_TIME_BASE_Q) - start_us_;
        return true;
      }
      if (got == AVERROR_EOF) return false;
      check<OutOfMemory>(got != AVERROR(ENOMEM), path_, "no memory for a frame");
      if (got != AVERROR(EAGAIN)) {
        ++damaged_;
        if (draining_ && ++errors_at_end_ > kMaxErrorsAtEnd) return false;
      }
      if (!draining_) feed();
    }
  }

  /// Hands one packet of the video stream to the decoder, or tells it that there are no more.
  void feed() {
    int got;
    while ((got = av_read_frame(input_.get(), packet_.get())) >= 0 && packet_->stream_index != stream_->index)
      av_packet_unref(packet_.get());
    if (got < 0) {
      damaged_ += got != AVERROR_EOF;
      draining_ = true;
      avcodec_send_packet(codec_.get(), nullptr);
      return;
    }
    const int sent = avcodec_send_packet(codec_.get(), packet_.get());
    damaged_ += sent < 0 || (packet_->flags & AV_PKT_FLAG_CORRUPT) != 0;
    av_packet_unref(packet_.get());
  }

  /// frame_ as RGB, into picture_, at the size that the file was opened with: a stream may change its size on the way.
  void convert() {
    check<Error>(frame_->width > 0 && frame_->data[0], path_, "no frame was decoded: call next() first");
    if (!picture_ || picture_->width != stored_width_ || picture_->height != stored_height_) {
      picture_ = av::owned<av::Frame>(av_frame_alloc());
      picture_->format = AV_PIX_FMT_RGB24, picture_->width = stored_width_, picture_->height = stored_height_;
      av::check_av(av_frame_get_buffer(picture_.get(), 0), path_, "no memory for a picture");
    }
    // Accurate rounding, and chroma interpolated: the short cuts are off by several levels.
    constexpr int kFlags = SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT;
    scaler_.reset(sws_getCachedContext(scaler_.release(), frame_->width, frame_->height, AVPixelFormat(frame_->format),
                                       stored_width_, stored_height_, AV_PIX_FMT_RGB24, kFlags, nullptr, nullptr, nullptr));
    check<FileError>(scaler_ != nullptr, path_, "can't convert its pixels to RGB");
    const int matrix = frame_->colorspace == AVCOL_SPC_UNSPECIFIED || frame_->colorspace == AVCOL_SPC_RGB ? SWS_CS_DEFAULT : frame_->colorspace;
    sws_setColorspaceDetails(scaler_.get(), sws_getCoefficients(matrix), full_range(), sws_getCoefficients(SWS_CS_DEFAULT), 1,
                             0, 1 << 16, 1 << 16);
    av::check_av(sws_scale(scaler_.get(), frame_->data, frame_->linesize, 0, frame_->height, picture_->data, picture_->linesize),
                 path_, "can't convert its pixels to RGB");
  }

  bool full_range() const {
    switch (frame_->format) {
      case AV_PIX_FMT_YUVJ420P: case AV_PIX_FMT_YUVJ422P: case AV_PIX_FMT_YUVJ444P: case AV_PIX_FMT_YUVJ440P:
      case AV_PIX_FMT_YUVJ411P: return true;
      default: return frame_->color_range == AVCOL_RANGE_JPEG;
    }
  }

  std::string path_;
  Index max_pixels_;
  VideoInfo info_;
  std::unique_ptr<AVFormatContext, CloseInput> input_;
  AVStream* stream_ = nullptr;
  av::Codec codec_;
  av::Packet packet_;
  av::Frame frame_, picture_;
  av::Scaler scaler_;
  av::Orientation orientation_;
  int stored_width_ = 0, stored_height_ = 0, errors_at_end_ = 0;
  bool fresh_ = true, draining_ = false, pending_ = false;   // nothing decoded yet; no more packets; frame_ waits for next()
  std::int64_t start_us_ = 0, step_us_ = 0, time_us_ = 0, skip_until_us_ = std::numeric_limits<std::int64_t>::min();
  Index damaged_ = 0;
};

}  // namespace fg::inline FRAMEGRAD_ABI
