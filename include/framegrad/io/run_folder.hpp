// RunFolder — what a training leaves on the disk, and goes on from.
//
//   run/
//     config.json                 any JSON object with an integer "version"
//     step_0000123/               a checkpoint; one whole folder or none
//       model.safetensors         weights and buffers
//       ema.safetensors           absent if there is none
//       optimizer.safetensors     absent if there is none
//       state.json                {"version", "step", "files": {name: bytes}, "state": the caller's (schedule, random numbers, data position)}
//
// A checkpoint is written into a hidden folder, synced, and renamed: a process that is killed while saving leaves the
// checkpoints that were there, and what it had begun is removed by the next save. A folder whose files aren't those of its
// state.json, by name and size, is no checkpoint. One process writes into a run at a time; any number may read.
#pragma once

#include <cstdio>
#include <filesystem>

#include <framegrad/io/safetensors.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct Checkpoint {
  Index step = 0;                 // steps done
  NamedTensors model = {};        // named_tensors(params)
  NamedTensors ema = {};          // Ema::state()
  NamedTensors optimizer = {};    // AdamW::state()
  nlohmann::json state = nlohmann::json::object();
};

/// A checkpoint's files, opened.
struct SavedCheckpoint {
  Index step;
  Safetensors model;
  std::optional<Safetensors> ema, optimizer;
  nlohmann::json state;
};

class RunFolder {
 public:
  /// Makes the folder and writes its configuration. Throws FileError if there is a run already, ConfigError for a config without version.
  static RunFolder create(const std::string& path, const nlohmann::json& config) {
    check<FileError>(!std::filesystem::exists(path + "/config.json"), "RunFolder", path, " holds a run already");
    std::error_code error;
    std::filesystem::create_directories(path, error);
    check<FileError>(!error, "RunFolder", path, ": ", error.message());
    const RunFolder run(path, config);
    check_version(run.config_, path);
    write_json(path + "/config.json", config);
    return run;
  }
  /// Throws FileError if there is no run, ConfigError for a config without version.
  static RunFolder open(const std::string& path) {
    const RunFolder run(path, read_json(path + "/config.json"));
    check_version(run.config_, path);
    return run;
  }

  const std::string& path() const { return path_; }
  const nlohmann::json& config() const { return config_; }

  /// Writes a checkpoint, in place of one of the same step, then removes the oldest beyond `keep` (0 keeps all).
  /// Throws FileError; everything that was there is then still there.
  void save(const Checkpoint& c, Index keep = 3) const {
    check<FileError>(c.step >= 0, "RunFolder", path_, ": step ", c.step);
    remove_leftovers();
    const std::string fresh = path_ + "/" + kHidden + folder_name(c.step), target = path_ + "/" + folder_name(c.step);
    try {
      make_folder(fresh);
      nlohmann::json files = nlohmann::json::object();
      const auto put = [&](const char* name, const NamedTensors& tensors) {
        save_safetensors(fresh + "/" + name, tensors, {{"format", "pt"}, {"step", std::to_string(c.step)}});
        files[name] = std::filesystem::file_size(fresh + "/" + name);
      };
      put("model.safetensors", c.model);
      if (!c.ema.empty()) put("ema.safetensors", c.ema);
      if (!c.optimizer.empty()) put("optimizer.safetensors", c.optimizer);
      write_json(fresh + "/state.json", {{"version", kVersionOfState}, {"step", c.step}, {"files", files}, {"state", c.state}});
      move_into_place(fresh, target);
    } catch (...) {
      std::error_code ignored;  // what couldn't be written is in the exception
      std::filesystem::remove_all(fresh, ignored);
      throw;
    }
    if (keep > 0) {
      const auto all = steps();
      for (std::size_t i = 0; i + std::size_t(keep) < all.size(); ++i)
        if (all[i] != c.step) ::rename((path_ + "/" + folder_name(all[i])).c_str(), (path_ + "/" + kHidden + folder_name(all[i])).c_str());
    }
    remove_leftovers();
  }

  /// Steps of the complete checkpoints, ascending.
  std::vector<Index> steps() const {
    std::vector<Index> found;
    std::error_code error;
    for (const auto& e : std::filesystem::directory_iterator(path_, error))
      if (const auto step = step_of(e.path().filename().string()); step && complete(*step)) found.push_back(*step);
    std::sort(found.begin(), found.end());
    return found;
  }
  std::optional<Index> latest() const {
    const auto all = steps();
    return all.empty() ? std::nullopt : std::optional(all.back());
  }
  std::string folder_of(Index step) const { return path_ + "/" + folder_name(step); }

  /// Throws FileError if there is no complete checkpoint of that step.
  SavedCheckpoint load(Index step) const {
    const auto about = complete(step);
    check<FileError>(about.has_value(), "RunFolder", path_, " has no complete checkpoint of step ", step);
    const std::string folder = folder_of(step) + "/";
    const auto file = [&](const char* name) {
      return about->at("files").contains(name) ? std::optional<Safetensors>(folder + name) : std::nullopt;
    };
    return {step, Safetensors(folder + "model.safetensors"), file("ema.safetensors"), file("optimizer.safetensors"), about->value("state", nlohmann::json::object())};
  }

 private:
  static constexpr int kVersionOfState = 1;
  static constexpr const char* kHidden = ".part_";

  RunFolder(std::string path, nlohmann::json config) : path_(std::move(path)), config_(std::move(config)) {}

  static void check_version(const nlohmann::json& config, const std::string& path) {
    check<ConfigError>(config.is_object() && config.contains("version") && config["version"].is_number_integer(), "RunFolder", path,
                       "/config.json needs an integer \"version\"");
  }
  static std::string folder_name(Index step) {
    const std::string digits = std::to_string(step);
    return "step_" + std::string(digits.size() < 7 ? 7 - digits.size() : 0, '0') + digits;
  }
  static std::optional<Index> step_of(const std::string& name) {
    if (!name.starts_with("step_") || name.size() < 12 || name.size() > 23) return std::nullopt;
    Index step = 0;
    for (const char c : name.substr(5)) {
      if (c < '0' || c > '9') return std::nullopt;
      step = step * 10 + (c - '0');
    }
    return folder_name(step) == name ? std::optional(step) : std::nullopt;
  }

  /// state.json of the step, if every file that it lists is there with its size.
  std::optional<nlohmann::json> complete(Index step) const {
    const std::string folder = folder_of(step) + "/";
    if (!std::filesystem::exists(folder + "state.json")) return std::nullopt;
    try {
      auto about = read_json(folder + "state.json");
      if (!about.is_object() || about.value("version", 0) != kVersionOfState || about.value("step", Index(-1)) != step || !about.at("files").contains("model.safetensors")) return std::nullopt;
      for (const auto& [name, bytes] : about.at("files").items()) {
        std::error_code error;
        if (name.find('/') != std::string::npos || std::filesystem::file_size(folder + name, error) != bytes.get<std::uintmax_t>() || error) return std::nullopt;
      }
      return about;
    } catch (const nlohmann::json::exception&) {  // of another structure
    } catch (const FileError&) {                  // no JSON
    }
    return std::nullopt;
  }

  static void make_folder(const std::string& path) {
    std::error_code error;
    std::filesystem::create_directory(path, error);
    check<FileError>(!error, "RunFolder", path, ": ", error.message());
  }
  static void sync_folder(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check<FileError>(fd >= 0, "RunFolder", path, ": ", std::strerror(errno));
    ::fsync(fd);
    ::close(fd);
  }
  void move_into_place(const std::string& fresh, const std::string& target) const {
    sync_folder(fresh);
    int moved = ::rename(fresh.c_str(), target.c_str());
    if (moved != 0 && (errno == ENOTEMPTY || errno == EEXIST)) {  // the step is there: both change places at once, where the file system can
      moved = ::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE);
      if (moved != 0 && (errno == EINVAL || errno == ENOSYS)) {
        std::error_code error;
        std::filesystem::remove_all(target, error);
        moved = ::rename(fresh.c_str(), target.c_str());
      }
    }
    check<FileError>(moved == 0, "RunFolder", "can't rename ", fresh, " to ", target, ": ", std::strerror(errno));
    sync_folder(path_);
  }
  void remove_leftovers() const {
    std::vector<std::filesystem::path> old;
    std::error_code error;
    for (const auto& e : std::filesystem::directory_iterator(path_, error))
      if (e.path().filename().string().starts_with(kHidden)) old.push_back(e.path());
    for (const auto& p : old) std::filesystem::remove_all(p, error);
  }

  std::string path_;
  nlohmann::json config_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
