// What reading and writing video share: owners for FFmpeg's objects, and its errors as FileError.
//
// Needs FFmpeg 5.1 or later, and linking framegrad::io built with it. FFmpeg's own messages on the terminal are switched
// off at first use, unless the program has chosen a log level of its own; what went wrong is in the FileError.
#pragma once

#if !__has_include(<libavformat/avformat.h>) || !__has_include(<libswscale/swscale.h>)
#error "framegrad/io/video.hpp needs FFmpeg (Debian: libavformat-dev libavcodec-dev libavutil-dev libswscale-dev)"
#endif

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

/// INFO is the level that FFmpeg starts with: whoever set another one wants to see it.
inline void silence_log() {
  static const bool done = [] {
    if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_QUIET);
    return true;
  }();
  (void)done;
}

}  // namespace fg::inline FRAMEGRAD_ABI::av
