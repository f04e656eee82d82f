// What reading and writing video share: owners for FFmpeg's objects, its errors as FileError, the way up of a picture.
//
// Needs FFmpeg 5.1 or later, and linking framegrad::io built with it. FFmpeg's own messages on the terminal are switched
// off at first use, unless the program has chosen a log level of its own; what went wrong is in the FileError.
#pragma once

#if !__has_include(<libavformat/avformat.h>) || !__has_include(<libswscale/swscale.h>)
#error "framegrad/io/video.hpp needs FFmpeg (Debian: libavformat-dev libavcodec-dev libavutil-dev libswscale-dev)"
#endif

#include <cmath>
#include <memory>
#include <string>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI::av {

struct Free {
  void operator()(AVFrame* p) const { av_frame_free(&p); }
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
  void operator()(SwsContext* p) const { sws_freeContext(p); }
};
using Frame = std::unique_ptr<AVFrame, Free>;
using Packet = std::unique_ptr<AVPacket, Free>;
using Codec = std::unique_ptr<AVCodecContext, Free>;
using Scaler = std::unique_ptr<SwsContext, Free>;

/// Options by name, as FFmpeg's functions take them: they remove what they knew.
class Options {
 public:
  Options() = default;
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;
  ~Options() { av_dict_free(&entries_); }
  void set(const char* name, const std::string& value) { av_dict_set(&entries_, name, value.c_str(), 0); }
  AVDictionary** get() { return &entries_; }

 private:
  AVDictionary* entries_ = nullptr;
};

inline std::string error_text(int code) {
  char buffer[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, buffer, sizeof buffer);
  return buffer;
}

/// Throws FileError "path: what: FFmpeg's text" if `code` is one of its error codes; otherwise returns it.
inline int check_av(int code, const std::string& path, std::string_view what) {
  check<FileError>(code >= 0, path, what, ": ", error_text(code));
  return code;
}

/// Takes over what an allocator of FFmpeg's returned, which is null only for want of memory.
template <class Owner, class T>
Owner owned(T* p) {
  check<OutOfMemory>(p != nullptr, "video", "FFmpeg could not allocate its state");
  return Owner(p);
}

/// One of the eight ways to turn a picture by quarters and mirror it: where each shown pixel is found in the stored one.
struct Orientation {
  bool swap = false, flip_x = false, flip_y = false;   // axes exchanged; the stored x, y run backwards

  /// From a 3x3 display matrix in 16.16 fixed point, x' = a·x + c·y, y' = b·x + d·y, to the nearest quarter turn.
  static Orientation of_matrix(const std::int32_t* m) {
    const double a = m[0], b = m[1], c = m[3], d = m[4];
    Orientation o;
    o.swap = std::abs(b) + std::abs(c) > std::abs(a) + std::abs(d);
    o.flip_x = (o.swap ? b : a) < 0;
    o.flip_y = (o.swap ? c : d) < 0;
    return o;
  }
};

inline const std::uint8_t* display_matrix(const AVStream& stream) {
#if LIBAVFORMAT_VERSION_MAJOR >= 61
  const AVCodecParameters& p = *stream.codecpar;
  const AVPacketSideData* side =
      av_packet_side_data_get(p.coded_side_data, p.nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  return side && side->size >= 9 * sizeof(std::int32_t) ? side->data : nullptr;
#else
  std::size_t size = 0;
  const std::uint8_t* data = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
  return data && size >= 9 * sizeof(std::int32_t) ? data : nullptr;
#endif
}

/// INFO is the level that FFmpeg starts with: whoever set another one wants to see it.
inline void silence_log() {
  static const bool done = [] {
    if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_QUIET);
    return true;
  }();
  (void)done;
}

}  // namespace fg::inline FRAMEGRAD_ABI::av
