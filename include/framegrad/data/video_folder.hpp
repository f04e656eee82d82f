// VideoFolder — a folder of videos and its caption list, as clips of N frames at one size.
//
//   for each epoch e:  rows in an order drawn from (seed, e)
//   for each row:      a window of the part that the list names, drawn from (seed, e, row); N frames of it, evenly spaced;
//                      the largest part with the wanted proportions, where `crop` says; resized; perhaps mirrored
//
// Everything is a function of (seed, epoch, index): two numbers are the whole state of a run's data. A broken or missing
// file is told to the caller and passed over; what comes after it stays the same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <utility>

#include <framegrad/core/philox.hpp>
#include <framegrad/data/captions.hpp>
#include <framegrad/data/frames.hpp>
#include <framegrad/io/video.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct ClipOptions {
  Index frames = 16;
  Index interval = 0;               // frames from one to the next; 0: spread over the whole part that the list names
  Index height = 64, width = 64;    // pixels
  Resize resize = Resize::area;
  float flip = 0;                   // share of clips mirrored; 0, since captions say left and right
  bool shuffle = true;
  std::uint64_t seed = 0;
};

struct Clip {
  Film film;
  std::string caption;
  Index row = 0;                    // in the list
};

/// Where a run is in its data: what a checkpoint keeps.
struct DataPosition {
  Index epoch = 0, next = 0;
  bool operator==(const DataPosition&) const = default;
};

class VideoFolder {
 public:
  /// Told about each clip that can't be had, with the reason.
  using Report = std::function<void(const CaptionRow&, const std::string& reason)>;

  /// `path` is a caption list, or a folder with one named captions.tsv, .csv or .jsonl; the videos' paths are relative to the list.
  /// Throws FileError if there is no list or it is wrong, ConfigError on an option that makes no sense.
  VideoFolder(const std::string& path, const ClipOptions& options, Report report = {})
      : VideoFolder(std::filesystem::path(find_list(path)).parent_path().string(), read_captions(find_list(path)), options,
                    std::move(report)) {}

  /// Rows from elsewhere; their paths are relative to `root`.
  VideoFolder(std::string root, std::vector<CaptionRow> rows, const ClipOptions& options, Report report = {})
      : root_(std::move(root)), rows_(std::move(rows)), options_(options), report_(std::move(report)) {
    check<ConfigError>(!rows_.empty(), "video folder", root_, ": the caption list has no rows");
    check<ConfigError>(options.frames > 0 && options.interval >= 0, "video folder", options.frames, " frames at interval ", options.interval);
    check<ConfigError>(options.height > 0 && options.width > 0, "video folder", "clips of ", options.height, "x", options.width, " pixels");
    check<ConfigError>(options.flip >= 0 && options.flip <= 1, "video folder", "flip is ", options.flip, ", needed is 0 to 1");
  }

  Index size() const { return Index(rows_.size()); }
  const std::vector<CaptionRow>& rows() const { return rows_; }
  const ClipOptions& options() const { return options_; }

  /// The row that stands at `index` in an epoch's order.
  Index row_at(Index epoch, Index index) {
    check<ConfigError>(epoch >= 0 && index >= 0 && index < size(), "video folder", "clip ", index, " of epoch ", epoch, ", of ", size());
    if (!options_.shuffle) return index;
    const std::lock_guard lock(mutex_);
    if (order_epoch_ != epoch) draw_order(epoch);
    return order_[std::size_t(index)];
  }

  /// Clip `index` of an epoch, or nothing, reported, if its file can't serve. May be called from several threads.
  std::optional<Clip> at(Index epoch, Index index) {
    const Index row = row_at(epoch, index);
    try {
      return load(epoch, row);
    } catch (const FileError& e) {
      if (report_) report_(rows_[std::size_t(row)], e.what());
      return std::nullopt;
    }
  }

  /// The next clip that can be had, from epoch to epoch. Throws FileError if none could through a whole epoch.
  Clip next() {
    for (Index tries = 0; tries < size(); ++tries) {
      const DataPosition here = position_;
      if (++position_.next == size()) position_ = {here.epoch + 1, 0};
      if (auto clip = at(here.epoch, here.next)) return std::move(*clip);
    }
    throw FileError(text(root_, ": not one of ", size(), " clips can be read"));
  }

  DataPosition position() const { return position_; }
  /// next() goes on from here. Throws ConfigError if there is no such place.
  void restore(const DataPosition& p) {
    check<ConfigError>(p.epoch >= 0 && p.next >= 0 && p.next < size(), "video folder", "no clip ", p.next, " in epoch ", p.epoch, ", of ", size());
    position_ = p;
  }

 private:
  static constexpr std::uint32_t kOrderStream = 0x6f726465, kClipStream = 0x636c6970;   // what the random numbers are for

  static std::string find_list(const std::string& path) {
    if (!std::filesystem::is_directory(path)) return path;
    for (const char* name : {"captions.tsv", "captions.csv", "captions.jsonl"}) {
      const auto list = std::filesystem::path(path) / name;
      if (std::filesystem::exists(list)) return list.string();
    }
    throw FileError(text(path, ": holds no captions.tsv, captions.csv or captions.jsonl"));
  }

  static Index below(std::uint32_t bits, Index n) { return Index((std::uint64_t(bits) * std::uint64_t(n)) >> 32); }

  /// Fisher and Yates's shuffle.
  void draw_order(Index epoch) {
    order_.resize(rows_.size());
    std::iota(order_.begin(), order_.end(), Index(0));
    const Philox philox(options_.seed);
    for (Index i = size() - 1; i > 0; --i)
      std::swap(order_[std::size_t(i)], order_[std::size_t(below(philox.bits(kOrderStream, std::uint32_t(epoch), std::uint64_t(i)), i + 1))]);
    order_epoch_ = epoch;
  }

  Clip load(Index epoch, Index row) {
    const CaptionRow& r = rows_[std::size_t(row)];
    const std::string path = (std::filesystem::path(root_) / r.path).string();
    const auto random = Philox(options_.seed).block(kClipStream, std::uint32_t(epoch), std::uint64_t(row));
    VideoReader reader(path);
    const std::vector<double> times = frame_times(reader, row, path);
    const Index total = Index(times.size()), N = options_.frames;
    check<FileError>(total >= N, path, total, " frames between ", r.start_s, " s and ", r.end_s, " s, needed are ", N);
    const FrameWindow window = options_.interval == 0 ? FrameWindow{0, total} : frame_window(total, N, options_.interval, random[0]);
    const auto wanted = spaced_frames(window, N);

    Clip clip{Film::filled(N, options_.height, options_.width), r.caption, row};
    const bool mirror = uniform_from_bits(random[1]) < options_.flip;
    reader.seek(times[std::size_t(wanted[0])]);
    for (Index n = 0; n < N;) {
      check<FileError>(reader.next(), path, "ends before ", times[std::size_t(wanted[std::size_t(n)])], " s");
      for (bool first = true; n < N && reader.time_s() >= times[std::size_t(wanted[std::size_t(n)])]; ++n, first = false) {
        if (first) shrink(reader, r.crop, clip.film.frame(n));
        else std::copy_n(clip.film.frame(n - 1), clip.film.frame_bytes(), clip.film.frame(n));
        if (first && mirror) flip(clip.film.frame(n), options_.height, options_.width, 3);
      }
    }
    check<FileError>(reader.damaged() == 0, path, "damaged: ", reader.damaged(), " packets or frames are incomplete");
    return clip;
  }

  /// Times of the frames in the part that a row names. They are known for certain by decoding alone: headers estimate, and a packet is
  /// not always a picture. Done once a row.
  std::vector<double> frame_times(VideoReader& reader, Index row, const std::string& path) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = times_.find(row); found != times_.end()) return found->second;
    }
    const CaptionRow& r = rows_[std::size_t(row)];
    if (r.start_s > 0) reader.seek(r.start_s);
    const double end_us = std::round(r.end_s * 1e6);
    std::vector<double> times;
    while (reader.next() && std::round(reader.time_s() * 1e6) < end_us) times.push_back(reader.time_s());
    check<FileError>(reader.damaged() == 0, path, "damaged: ", reader.damaged(), " packets or frames are incomplete");
    const std::lock_guard lock(mutex_);
    return times_[row] = std::move(times);
  }

  void shrink(VideoReader& reader, Crop side, std::uint8_t* out) const {
    const Index H = reader.info().height, W = reader.info().width;
    std::vector<std::uint8_t> whole(std::size_t(H * W * 3));
    reader.copy_rgb(whole.data());
    const Box box = largest_box(H, W, options_.height, options_.width, side);
    std::vector<std::uint8_t> part(std::size_t(box.height * box.width * 3));
    crop(whole.data(), H, W, box, part.data(), 3);
    resize(part.data(), box.height, box.width, out, options_.height, options_.width, 3, options_.resize);
  }

  std::string root_;
  std::vector<CaptionRow> rows_;
  ClipOptions options_;
  Report report_;
  DataPosition position_;
  std::mutex mutex_;                              // guards what follows
  std::map<Index, std::vector<double>> times_;    // by row
  std::vector<Index> order_;
  Index order_epoch_ = -1;
};

}  // namespace fg::inline FRAMEGRAD_ABI
