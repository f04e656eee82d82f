// JSON files that others may have written: read with limits on size and depth, and no key twice; written as a whole.
#pragma once

#include <set>

#include <nlohmann/json.hpp>

#include <framegrad/io/atomic_file.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Throws FileError if the file can't be read, is no JSON, nests deeper than 64 or has a key twice in one object.
inline nlohmann::json read_json(const std::string& path, std::size_t limit_bytes = std::size_t(100) << 20) {
  using nlohmann::json;
  const auto bytes = read_file(path, limit_bytes);
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    check<FileError>(depth <= 64, "read", path, " nests deeper than 64");  // dump() and walks over it are recursive
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key)
      check<FileError>(keys.back().insert(value.get_ref<const std::string&>()).second, "read", path, " has the key \"", value.get_ref<const std::string&>(), "\" twice");
    return true;
  };
  try {
    return json::parse(bytes.begin(), bytes.end(), watch);
  } catch (const json::exception& e) {
    throw FileError(text("read: ", path, " is no JSON: ", e.what()));
  }
}

/// Replaces `path` as a whole. Throws FileError, also for text that isn't UTF-8.
inline void write_json(const std::string& path, const nlohmann::json& value) {
  std::string s;
  try {
    s = value.dump(2);
  } catch (const nlohmann::json::exception& e) {
    throw FileError(text("write: ", path, ": ", e.what()));
  }
  write_file_atomically(path, s + "\n");
}

}  // namespace fg::inline FRAMEGRAD_ABI
