// safetensors — tensors by name in a file, or in several with an index; reading, writing, and a model's parameters.
//
// A file stays mapped: opening costs its header, a tensor its pages when they are touched. Writing replaces a file as a whole
// or leaves it. The format is in safetensors_header.hpp; an index is {"weight_map": {"name": "file", …}}.
#pragma once

#include <framegrad/io/json_file.hpp>
#include <framegrad/io/mapped_file.hpp>
#include <framegrad/io/safetensors_header.hpp>
#include <framegrad/nn/named_tensors.hpp>

namespace fg::inline FRAMEGRAD_ABI {

class Safetensors {
 public:
  /// Opens a file, or with a name that ends in .json an index and all its files. Throws FileError naming file and key.
  explicit Safetensors(const std::string& path) : path_(path) {
    if (path.ends_with(".json")) add_index(path);
    else add_file(path);
  }

  const std::string& path() const { return path_; }
  /// Every tensor, in the order of the file's bytes.
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool contains(std::string_view name) const { return by_name_.count(std::string(name)) > 0; }

  /// The tensor over the mapping, which lives as long as it. Writing into it changes no file, but is seen by all who hold that tensor.
  /// Throws FileError if there is none of that name, or of a type or rank that we don't have.
  AnyTensor tensor(std::string_view name) const {
    const auto it = by_name_.find(std::string(name));
    check<FileError>(it != by_name_.end(), "safetensors", path_, " has no \"", name, "\"");
    return open(it->second);
  }
  NamedTensors tensors() const {
    NamedTensors all;
    for (std::size_t i = 0; i < entries_.size(); ++i) all.push_back({entries_[i].name, open(i)});
    return all;
  }

 private:
  struct Part {  // of entry i: its file, and where that file's tensors begin
    std::shared_ptr<MappedFile> file;
    std::size_t data_begin;
  };

  void add_file(const std::string& path) {
    const auto file = std::make_shared<MappedFile>(path);
    SafetensorsHeader header = read_safetensors_header(file->data(), file->size(), path);
    for (auto& e : header.entries) {
      check<FileError>(by_name_.emplace(e.name, entries_.size()).second, "safetensors", path, ": \"", e.name, "\" is in another file of the index too");
      entries_.push_back(std::move(e));
      parts_.push_back({file, header.data_begin});
    }
    metadata_.merge(header.metadata);
  }

  void add_index(const std::string& path) {
    const auto index = read_json(path);
    const auto fail = [&](const auto&... parts) { throw FileError(text("safetensors: ", path, ": ", parts...)); };
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) fail("an object \"weight_map\" is needed");
    std::map<std::string, std::vector<std::string>> by_file;
    for (const auto& [name, file] : index["weight_map"].items()) {
      if (!file.is_string()) fail("\"", name, "\": the name of a file is needed");
      const auto& f = file.get_ref<const std::string&>();
      if (f.empty() || f == "." || f == ".." || f.find('/') != std::string::npos || f.find('\0') != std::string::npos)
        fail("\"", name, "\": \"", f, "\" is no plain name of a file in the same folder");
      by_file[f].push_back(name);
    }
    const auto slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
    for (const auto& [file, names] : by_file) {
      const std::size_t first = parts_.size();
      add_file(folder + file);
      for (const auto& name : names) {
        const auto it = by_name_.find(name);
        if (it == by_name_.end() || it->second < first) fail("\"", name, "\" isn't in ", file);
      }
    }
  }

  AnyTensor open(std::size_t i) const {
    const SafetensorsEntry& e = entries_[i];
    const auto dtype = safetensors_dtype(e.dtype);
    check<FileError>(dtype.has_value(), "safetensors", path_, ": \"", e.name, "\" is ", e.dtype, ", which can't be read; F64, F32, F16, BF16, I64, I32, U8 and BOOL can");
    check<FileError>(e.shape.size() <= std::size_t(kMaxRank), "safetensors", path_, ": \"", e.name, "\" has rank ", e.shape.size(), ", at most ", kMaxRank, " is possible");
    const Shape sizes{std::span<const Index>(e.shape)};
    return tensor_over(parts_[i].file, parts_[i].data_begin + std::size_t(e.begin), *dtype, {sizes, row_major(sizes), 0}, text(path_, ": \"", e.name, "\""));
  }

  std::string path_;
  std::vector<SafetensorsEntry> entries_;
  std::vector<Part> parts_;
  std::unordered_map<std::string, std::size_t> by_name_;
  std::map<std::string, std::string> metadata_;
};

enum class SafetensorsOrder {
  by_alignment,  // larger items first, then by name: every tensor is aligned for its type
  given
};

/// Replaces `path` by these tensors, row-major. Throws FileError; the old file then stays as it was.
inline void save_safetensors(const std::string& path, const NamedTensors& tensors, const std::map<std::string, std::string>& metadata = {},
                             SafetensorsOrder order = SafetensorsOrder::by_alignment) {
  std::vector<const NamedTensor*> sorted;
  for (const auto& t : tensors) sorted.push_back(&t);
  if (order == SafetensorsOrder::by_alignment)
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
      const Index x = item_bytes(a->tensor.dtype()), y = item_bytes(b->tensor.dtype());
      return x != y ? x > y : a->name < b->name;
    });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  Index at = 0;
  std::set<std::string_view> names;
  for (const auto* t : sorted) {
    check<FileError>(t->name != "__metadata__" && names.insert(t->name).second, "safetensors", path, ": the name \"", t->name, "\" is reserved or stands twice");
    check<FileError>(t->tensor.defined() && t->tensor.allocated() && !t->tensor.is_meta(), "safetensors", path, ": \"", t->name, "\" has no memory");
  }
  auto& list = header.get_ref<nlohmann::ordered_json::object_t&>();
  list.reserve(sorted.size() + 1);
  for (const auto* t : sorted) {
    const Shape& s = t->tensor.sizes();
    list.emplace_back(t->name, nlohmann::ordered_json{{"dtype", safetensors_name(t->tensor.dtype())},
                                                      {"shape", std::vector<Index>(s.begin(), s.end())},
                                                      {"data_offsets", {at, at + t->tensor.bytes()}}});
    at += t->tensor.bytes();
  }
  std::string head;
  try {
    head = header.dump();
  } catch (const nlohmann::json::exception& e) {  // a name or text that isn't UTF-8
    throw FileError(text("safetensors: ", path, ": ", e.what()));
  }
  head.resize((head.size() + 7) / 8 * 8, ' ');  // so that the tensors begin at a multiple of 8
  check<FileError>(head.size() <= kSafetensorsHeaderLimit, "safetensors", path, ": the header has ", head.size(), " bytes, at most ", kSafetensorsHeaderLimit, " are possible");

  write_file_atomically(path, [&](FileSink& sink) {
    char length[8];
    for (int i = 0; i < 8; ++i) length[i] = char(std::uint64_t(head.size()) >> (8 * i));
    sink.write(length, 8);
    sink.write(head);
    for (const auto* t : sorted) {
      const AnyTensor x = to(t->tensor.is_row_major() ? t->tensor : row_major_copy(t->tensor), kCpu);
      if (x.bytes() > 0) sink.write(x.raw(), std::size_t(x.bytes()));
    }
  });
}

struct LoadOptions {
  NamePredicate allow_missing = {};     // tensors of the model that the file may lack: they keep their values
  NamePredicate allow_unexpected = {};  // tensors of the file (renamed) that the model may lack
  std::function<std::string(const std::string&)> rename = {};  // name in the file → name in the model; "" leaves the tensor out
  bool keep_mapped = false;             // tensors of the right type stay in the file's mapping until written
};

/// Fills a model's saved tensors from a file, converting between float, double, bf16 and half. Strict: throws one FileError that
/// lists every missing, unexpected and mis-shaped name, and then nothing has changed. Returns what was allowed to differ.
inline Restored load_params(const Params& params, const Safetensors& file, const LoadOptions& options = {}) {
  NamedTensors source;
  for (const auto& e : file.entries()) {
    const std::string name = options.rename ? options.rename(e.name) : e.name;
    if (!name.empty()) source.push_back({name, params.find(name) ? file.tensor(e.name) : AnyTensor()});  // what nobody wants may be of any type
  }
  std::vector<std::shared_ptr<Slot>> slots = params.slots();
  std::erase_if(slots, [](const auto& s) { return !s->is_saved; });
  const NamedTensors to = named_tensors(params);
  return match_names(to, source, file.path(), {options.allow_missing, options.allow_unexpected, true}, [&](std::size_t i, const AnyTensor& t) {
    AnyTensor& value = slots[i]->value;
    if (options.keep_mapped && t.dtype() == value.dtype() && t.strides() == value.strides()) {
      AnyTensor mapped = t;
      if (value.node()) mapped.attach(value.node(), value.node_output());
      value = mapped;
    } else {
      copy_into(value, t);
    }
  });
}
inline Restored load_params(const Params& params, const std::string& path, const LoadOptions& options = {}) {
  return load_params(params, Safetensors(path), options);
}

/// Saves a model's tensors under their names.
inline void save_params(const Params& params, const std::string& path, const std::map<std::string, std::string>& metadata = {}) {
  save_safetensors(path, named_tensors(params), metadata);
}

}  // namespace fg::inline FRAMEGRAD_ABI
