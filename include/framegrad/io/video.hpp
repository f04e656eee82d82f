// Reading video: a whole file, or a window of it, as a Film. What is read, and how: video_reader.hpp.
#pragma once

#include <framegrad/io/video_reader.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct ReadOptions {
  double start_s = 0, end_s = std::numeric_limits<double>::infinity();   // frames with start <= time < end
  Index max_frames = std::numeric_limits<Index>::max();                 // stop after so many
  Index max_bytes = Index(8) << 30;                                      // refuse a film larger than this
  bool allow_damage = false;                                             // return what could be decoded
};

/// The frames of a file within [start_s, end_s) → Film [T, H, W, 3]. Throws FileError if there are none, if the file is
/// damaged (unless allowed), or if they take more than max_bytes.
inline Film read_video(const std::string& path, const ReadOptions& options = {}) {
  VideoReader reader(path);
  if (options.start_s > 0) reader.seek(options.start_s);
  const VideoInfo& info = reader.info();
  Film film;
  film.height = info.height, film.width = info.width;
  const Index frame_bytes = info.height * info.width * 3;
  const double end_us = std::round(options.end_s * 1e6);
  while (film.frames < options.max_frames && reader.next() && std::round(reader.time_s() * 1e6) < end_us) {
    check<FileError>((film.frames + 1) * frame_bytes <= options.max_bytes, path, "more than ", options.max_bytes, " bytes as pixels");
    film.rgb.resize(std::size_t((film.frames + 1) * frame_bytes));
    reader.copy_rgb(film.rgb.data() + film.frames * frame_bytes);
    ++film.frames;
  }
  check<FileError>(options.allow_damage || reader.damaged() == 0, path, "damaged: ", reader.damaged(),
                   " packets or frames are incomplete (", film.frames, " frames decoded)");
  check<FileError>(film.frames > 0, path, "no frame between ", options.start_s, " s and ", options.end_s, " s");
  return film;
}

}  // namespace fg::inline FRAMEGRAD_ABI
