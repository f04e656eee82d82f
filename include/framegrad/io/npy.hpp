// NumPy's .npy files: one array, little-endian, in C or Fortran order.
//
//   "\x93NUMPY" major minor    length of the header: 2 bytes (version 1) or 4 (2 and 3)
//   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      a Python literal, padded with spaces    then the data
//
// Format: numpy.lib.format. Types: f2 f4 f8 i4 i8 u1 b1; NumPy has no bf16, so writing one is refused rather than widened.
#pragma once

#include <map>
#include <optional>
#include <set>

#include <framegrad/autograd/copy.hpp>
#include <framegrad/io/atomic_file.hpp>
#include <framegrad/io/mapped_file.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {

/// Reads the three keys of a header, and nothing else that Python could hold.
class NpyHeader {
 public:
  std::string descr;
  bool fortran_order = false;
  std::vector<Index> shape;

  NpyHeader(std::string_view text, const std::string& path) : rest_(text), path_(path) {
    take('{');
    std::set<std::string> seen;
    while (!next_is('}')) {
      const std::string key = quoted();
      require(seen.insert(key).second, "a key stands twice");
      take(':');
      if (key == "descr") descr = quoted();
      else if (key == "fortran_order") fortran_order = truth();
      else if (key == "shape") read_shape();
      else require(false, "a key is none of descr, fortran_order, shape");
      if (!next_is('}')) take(',');
    }
    take('}');
    skip();
    require(rest_.empty(), "something follows the header's }");
    require(seen.size() == 3, "descr, fortran_order and shape are needed");
  }

 private:
  void require(bool good, std::string_view what) const { check<FileError>(good, "npy", path_, ": ", what); }
  void skip() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n' || rest_[0] == '\t')) rest_.remove_prefix(1);
  }
  bool next_is(char c) {
    skip();
    return !rest_.empty() && rest_[0] == c;
  }
  void take(char c) {
    check<FileError>(next_is(c), "npy", path_, ": the header needs ", c, " before \"", rest_.substr(0, 20), "\"");
    rest_.remove_prefix(1);
  }
  std::string quoted() {
    const char quote = next_is('"') ? '"' : '\'';
    take(quote);
    const auto end = rest_.find(quote);
    require(end != std::string_view::npos, "text in the header doesn't end");
    std::string s(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return s;
  }
  bool truth() {
    skip();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    require(false, "fortran_order is neither True nor False");
    return false;
  }
  void read_shape() {
    take('(');
    while (!next_is(')')) {
      Index n = 0;
      require(!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9', "a size is no number");
      while (!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9') {
        require(!__builtin_mul_overflow(n, Index(10), &n) && !__builtin_add_overflow(n, Index(rest_[0] - '0'), &n), "a size is too large");
        rest_.remove_prefix(1);
      }
      shape.push_back(n);
      if (!next_is(')')) take(',');
    }
    take(')');
  }

  std::string_view rest_;
  const std::string& path_;
};

inline std::optional<Dtype> npy_dtype(std::string_view descr) {
  static const std::map<std::string_view, Dtype> known = {{"<f4", Dtype::f32}, {"<f8", Dtype::f64}, {"<f2", Dtype::f16},    {"<i4", Dtype::i32},
                                                          {"<i8", Dtype::i64}, {"|u1", Dtype::u8},  {"|b1", Dtype::boolean}};
  const auto it = known.find(descr);
  return it == known.end() ? std::nullopt : std::optional(it->second);
}

inline std::string npy_descr(Dtype d, const std::string& path) {
  constexpr std::string_view names[] = {"<f4", "<f8", "", "<f2", "<i4", "<i8", "|u1", "|b1"};
  check<FileError>(d != Dtype::bf16, "npy", path, ": the format has no ", d, "; convert to float first");
  return std::string(names[int(d)]);
}

}  // namespace detail

/// The array over the file's mapping (writing into it changes no file). A Fortran array has its strides reversed; nothing is copied.
/// Throws FileError for anything but one array of a type that we have.
inline AnyTensor load_npy(const std::string& path) {
  const auto file = std::make_shared<MappedFile>(path);
  const auto* p = reinterpret_cast<const unsigned char*>(file->data());
  const std::size_t size = file->size();
  check<FileError>(size >= 10 && std::memcmp(p, "\x93NUMPY", 6) == 0, "npy", path, " is no npy file");
  const int version = p[6];
  check<FileError>(version >= 1 && version <= 3 && p[7] == 0, "npy", path, " has version ", version, ".", int(p[7]), "; 1.0, 2.0 and 3.0 are read");
  const std::size_t prefix = version == 1 ? 10 : 12;
  check<FileError>(size >= prefix, "npy", path, " has ", size, " bytes");
  std::size_t length = 0;
  for (std::size_t i = 8; i < prefix; ++i) length |= std::size_t(p[i]) << (8 * (i - 8));
  check<FileError>(length <= size - prefix, "npy", path, ": a header of ", length, " bytes is announced, ", size - prefix, " follow");
  const detail::NpyHeader header({file->data() + prefix, length}, path);

  const auto dtype = detail::npy_dtype(header.descr);
  check<FileError>(dtype.has_value(), "npy", path, ": the type is \"", header.descr, "\", which can't be read; <f2 <f4 <f8 <i4 <i8 |u1 |b1 can");
  check<FileError>(header.shape.size() <= std::size_t(kMaxRank), "npy", path, ": rank ", header.shape.size(), ", at most ", kMaxRank, " is possible");
  Index bytes = item_bytes(*dtype);
  bool fits = true;
  for (const Index n : header.shape) fits = fits && !__builtin_mul_overflow(bytes, n, &bytes);
  const std::size_t begin = prefix + length;
  check<FileError>(fits && std::size_t(bytes) == size - begin, "npy", path, ": ", size - begin, " bytes for an array of ", fits ? text(bytes) : "more than 2^63", " bytes");

  const Shape sizes{std::span<const Index>(header.shape)};
  Strides strides = row_major(sizes);
  if (header.fortran_order) {
    Shape reversed = sizes;
    std::reverse(reversed.begin(), reversed.end());
    strides = row_major(reversed);
    std::reverse(strides.begin(), strides.end());
  }
  return tensor_over(file, begin, *dtype, {sizes, strides, 0}, path);
}

/// Replaces `path` by the tensor, in C order. Throws FileError for bf16, and when the disk refuses.
inline void save_npy(const std::string& path, const AnyTensor& t) {
  check<FileError>(t.defined() && t.allocated() && !t.is_meta(), "npy", path, ": the tensor has no memory");
  std::string shape;
  for (const Index n : t.sizes()) shape += std::to_string(n) + ", ";
  std::string header = text("{'descr': '", detail::npy_descr(t.dtype(), path), "', 'fortran_order': False, 'shape': (", shape, "), }");
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10, ' ');  // so that the data begin at a multiple of 64
  header.back() = '\n';
  const AnyTensor x = to(t.is_row_major() ? t : row_major_copy(t), kCpu);
  write_file_atomically(path, [&](FileSink& sink) {
    sink.write(std::string_view("\x93NUMPY\x01\x00", 8));
    const char length[2] = {char(header.size() & 255), char(header.size() >> 8)};
    sink.write(length, 2);
    sink.write(header);
    if (x.bytes() > 0) sink.write(x.raw(), std::size_t(x.bytes()));
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI
