// The header of a safetensors file, read from bytes that nobody vouches for.
//
//   8 bytes, little-endian: length n of the header     n bytes of JSON     the tensors' bytes, without gaps
//   {"__metadata__": {"key": "text", …}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …}
//
// Format: github.com/huggingface/safetensors, README "Format". The parser below goes through the JSON event by event and takes nothing
// but this structure, so a hostile header costs neither depth nor memory beyond its own size.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include <framegrad/core/tensor.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// One tensor as the header describes it.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;            // as written in the file: "F32", "BF16", …; may be one that we have no type for
  std::vector<Index> shape;
  Index begin = 0, end = 0;     // bytes, from the end of the header

  Index count() const {
    Index n = 1;
    for (const Index s : shape) n *= s;
    return n;
  }
};

inline constexpr std::size_t kSafetensorsHeaderLimit = 100'000'000;

/// Our type for a dtype of the format, if there is one.
inline std::optional<Dtype> safetensors_dtype(std::string_view name) {
  static const std::map<std::string_view, Dtype> known = {{"F64", Dtype::f64}, {"F32", Dtype::f32}, {"F16", Dtype::f16}, {"BF16", Dtype::bf16},
                                                          {"I64", Dtype::i64}, {"I32", Dtype::i32}, {"U8", Dtype::u8},   {"BOOL", Dtype::boolean}};
  const auto it = known.find(name);
  return it == known.end() ? std::nullopt : std::optional(it->second);
}
constexpr std::string_view safetensors_name(Dtype d) {
  constexpr std::string_view names[] = {"F32", "F64", "BF16", "F16", "I32", "I64", "U8", "BOOL"};
  return names[int(d)];
}

namespace detail {

/// Item size of a dtype that the format defines, ours or not; 0 if it is unknown or below a byte.
inline Index safetensors_item_bytes(std::string_view name) {
  static const std::map<std::string_view, Index> others = {{"U64", 8}, {"C64", 8}, {"U32", 4}, {"I16", 2}, {"U16", 2}, {"I8", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}};
  if (const auto ours = safetensors_dtype(name)) return item_bytes(*ours);
  const auto it = others.find(name);
  return it == others.end() ? 0 : it->second;
}

class SafetensorsHeaderParser final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
  std::string error;

  bool start_object(std::size_t) override {
    if (depth_ == 2 || in_array_ || (depth_ == 1 && !value_expected_)) return refuse("an object where none belongs");
    value_expected_ = false;
    ++depth_;
    if (depth_ == 2 && !in_metadata_) entries.push_back({.name = name_, .dtype = {}, .shape = {}}), fields_.clear();
    return true;
  }
  bool end_object() override {
    if (depth_-- == 2) {
      if (!in_metadata_ && fields_.size() != 3) return refuse("dtype, shape and data_offsets are needed");
      in_metadata_ = false;
    }
    return true;
  }
  bool key(std::string& k) override {
    if (depth_ == 1) {
      name_ = k;
      in_metadata_ = k == "__metadata__";
      if (!names_.insert(k).second) return refuse("the key stands twice");
    } else if (in_metadata_) {
      if (metadata.count(k)) return refuse(text("\"", k, "\" stands twice"));
    } else {
      if (k != "dtype" && k != "shape" && k != "data_offsets") return refuse(text("\"", k, "\" is no part of the format"));
      if (!fields_.insert(k).second) return refuse(text("\"", k, "\" stands twice"));
    }
    field_ = k;
    value_expected_ = true;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_array_ || in_metadata_ || field_ == "dtype") return refuse("an array where none belongs");
    in_array_ = true;
    numbers_.clear();
    return true;
  }
  bool end_array() override {
    in_array_ = false;
    if (field_ == "shape") {
      entries.back().shape = numbers_;
    } else {
      if (numbers_.size() != 2) return refuse("data_offsets must be two numbers");
      entries.back().begin = numbers_[0], entries.back().end = numbers_[1];
    }
    return true;
  }
  bool number_unsigned(std::uint64_t n) override {
    if (!in_array_) return refuse("a number where none belongs");
    if (n > std::uint64_t(INT64_MAX)) return refuse(text("the number ", n, " is too large"));
    numbers_.push_back(Index(n));
    return true;
  }
  bool string(std::string& s) override {
    if (depth_ != 2 || in_array_ || (!in_metadata_ && field_ != "dtype")) return refuse("text where none belongs");
    (in_metadata_ ? metadata[field_] : entries.back().dtype) = s;
    return true;
  }
  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("a truth value"); }
  bool number_integer(std::int64_t n) override { return refuse(text("the negative number ", n)); }
  bool number_float(double, const std::string& s) override { return refuse(text("the fraction ", s)); }
  bool binary(nlohmann::json::binary_t&) override { return refuse("binary data"); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& e) override {
    error = text("no JSON: ", e.what());
    return false;
  }

 private:
  bool refuse(const std::string& what) {
    error = depth_ == 0 ? what : text("\"", name_, "\": ", what);
    return false;
  }

  int depth_ = 0;
  bool in_metadata_ = false, in_array_ = false, value_expected_ = true;
  std::string name_, field_;
  std::set<std::string> names_, fields_;
  std::vector<Index> numbers_;
};

/// Checks each size against its byte range, and that the ranges fill [0, data_bytes) without gap or overlap. Entries end up in file order.
inline void check_safetensors_layout(std::vector<SafetensorsEntry>& entries, Index data_bytes, const std::string& path) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  Index expected = 0;
  for (const auto& e : entries) {
    const auto good = [&](bool ok, const auto&... parts) { check<FileError>(ok, "safetensors", path, ": \"", e.name, "\": ", parts...); };
    good(e.begin <= e.end && e.end <= data_bytes, "bytes [", e.begin, ", ", e.end, ") of ", data_bytes);
    good(e.begin == expected, "begins at byte ", e.begin, e.begin < expected ? ", inside the tensor before it" : ", behind a gap", "; ", expected, " is needed");
    expected = e.end;
    const Index item = safetensors_item_bytes(e.dtype);
    Index count = 1, bytes = 0;
    bool fits = true;
    for (const Index n : e.shape) fits = fits && !__builtin_mul_overflow(count, n, &count);
    good(fits, "the shape has more elements than 2^63");
    if (item > 0) good(!__builtin_mul_overflow(count, item, &bytes) && bytes == e.end - e.begin, e.end - e.begin, " bytes for ", count, " elements of ", e.dtype);
  }
  check<FileError>(expected == data_bytes, "safetensors", path, ": the tensors end at byte ", expected, " of ", data_bytes);
}

}  // namespace detail

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;         // in the order of their bytes
  std::map<std::string, std::string> metadata;
  std::size_t data_begin = 0;                    // byte of the file where the tensors begin
};

/// Reads and checks the header of a file of `size` bytes. Throws FileError with `path` and, where there is one, the key.
inline SafetensorsHeader read_safetensors_header(const char* data, std::size_t size, const std::string& path) {
  check<FileError>(size >= 8, "safetensors", path, " has ", size, " bytes, at least 8 are needed");
  std::uint64_t length = 0;
  for (int i = 0; i < 8; ++i) length |= std::uint64_t(std::uint8_t(data[i])) << (8 * i);
  check<FileError>(length <= kSafetensorsHeaderLimit, "safetensors", path, ": a header of ", length, " bytes is announced, at most ", kSafetensorsHeaderLimit, " are read");
  check<FileError>(length <= size - 8, "safetensors", path, ": a header of ", length, " bytes is announced, the file has ", size - 8, " after its length");
  const char* text_begin = data + 8;
  check<FileError>(length > 0 && *text_begin == '{', "safetensors", path, ": the header doesn't begin with {");
  detail::SafetensorsHeaderParser parser;
  const bool parsed = nlohmann::json::sax_parse(text_begin, text_begin + length, &parser);
  check<FileError>(parsed, "safetensors", path, ": ", parser.error);
  detail::check_safetensors_layout(parser.entries, Index(size - 8 - length), path);
  return {std::move(parser.entries), std::move(parser.metadata), std::size_t(8 + length)};
}

}  // namespace fg::inline FRAMEGRAD_ABI
