// framegrad inspect — what is in a safetensors file, an index of several, a run folder or a released model.
#include <fnmatch.h>

#include <framegrad/io/run_folder.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace cli {
namespace {

struct Options {
  std::string path, names;
  bool whole_metadata = false;
};

/// Names and texts come from files that nobody vouches for: what would move a terminal's cursor is shown as its code.
std::string shown(std::string_view s, std::size_t limit = std::string::npos) {
  std::string out;
  for (const char c : s.substr(0, limit)) {
    char code[8];
    std::snprintf(code, sizeof code, "\\x%02x", unsigned(static_cast<unsigned char>(c)));
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    out += control ? code : std::string(1, c);
  }
  return s.size() > limit ? fg::text(out, "… (", s.size(), " letters)") : out;
}

/// 759,620,768
std::string grouped(Index n) {
  std::string s = std::to_string(n);
  for (Index at = Index(s.size()) - 3; at > 0; at -= 3) s.insert(std::size_t(at), ",");
  return s;
}

std::string shape_text(const std::vector<Index>& shape) {
  std::string s;
  for (const Index n : shape) s += (s.empty() ? "" : ", ") + std::to_string(n);
  return "[" + s + "]";
}

/// Any part of a name; * and ? stand for letters as in a shell.
bool matches(const std::string& name, const std::string& pattern) { return pattern.empty() || ::fnmatch(("*" + pattern + "*").c_str(), name.c_str(), 0) == 0; }

void print_tensors(const fg::Safetensors& file, const Options& o) {
  struct Total {
    Index tensors = 0, values = 0, bytes = 0;
    void add(const fg::SafetensorsEntry& e) { ++tensors, values += e.count(), bytes += e.end - e.begin; }
  };
  std::map<std::string, Total> by_dtype;
  Total all;
  std::vector<std::array<std::string, 3>> table;
  std::size_t width[3] = {4, 5, 5};
  for (const auto& e : file.entries()) {
    if (!matches(e.name, o.names)) continue;
    by_dtype[e.dtype].add(e), all.add(e);
    table.push_back({shown(e.name, 120), shown(e.dtype, 20), shape_text(e.shape)});
    for (std::size_t i = 0; i < 3; ++i) width[i] = std::max(width[i], table.back()[i].size());
  }
  const auto row = [&](const char* name, const char* dtype, const char* shape, const char* bytes) {
    std::printf("  %-*s  %-*s  %-*s  %15s\n", int(width[0]), name, int(width[1]), dtype, int(width[2]), shape, bytes);
  };
  row("name", "dtype", "shape", "bytes");
  std::size_t i = 0;
  for (const auto& e : file.entries())
    if (matches(e.name, o.names)) {
      row(table[i][0].c_str(), table[i][1].c_str(), table[i][2].c_str(), grouped(e.end - e.begin).c_str());
      ++i;
    }
  std::printf("%s tensors of %s%s values, %s\n", grouped(all.tensors).c_str(), o.names.empty() ? "" : "this name, ", grouped(all.values).c_str(), size_text(double(all.bytes)).c_str());
  for (const auto& [dtype, t] : by_dtype) std::printf("  %-8s %12s tensors %18s values\n", shown(dtype, 20).c_str(), grouped(t.tensors).c_str(), grouped(t.values).c_str());
  if (o.names.empty())
    for (const auto& [key, value] : file.metadata()) std::printf("  %s: %s\n", shown(key, 60).c_str(), shown(value, o.whole_metadata ? std::string::npos : 160).c_str());
}

void print_file(const std::string& path, const Options& o) {
  const fg::Safetensors file(path);
  std::printf("%s\n", path.c_str());
  print_tensors(file, o);
}

void print_config(const std::string& path) { std::printf("%s\n%s\n\n", path.c_str(), shown(fg::read_json(path).dump(), 4000).c_str()); }

void print_run(const std::string& path, const Options& o) {
  const auto run = fg::RunFolder::open(path);
  print_config(path + "/config.json");
  const auto steps = run.steps();
  if (steps.empty()) {
    std::printf("no complete checkpoint yet\n");
    return;
  }
  std::string list;
  for (const Index s : steps) list += (list.empty() ? "" : ", ") + std::to_string(s);
  std::printf("checkpoints of steps %s; the newest:\n\n", list.c_str());
  const auto saved = run.load(steps.back());
  std::printf("%s\n", saved.model.path().c_str());
  print_tensors(saved.model, o);
  for (const auto* extra : {&saved.ema, &saved.optimizer})
    if (*extra) {
      Index values = 0;
      for (const auto& e : (*extra)->entries()) values += e.count();
      std::printf("%s: %zu tensors of %s values\n", (*extra)->path().c_str(), (*extra)->entries().size(), grouped(values).c_str());
    }
  std::printf("state: %s\n", shown(saved.state.dump(), 400).c_str());
}

void run_inspect(const Options& o) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(o.path)) return print_file(o.path, o);
  if (fs::exists(o.path + "/model.safetensors")) {
    if (fs::exists(o.path + "/config.json")) print_config(o.path + "/config.json");
    return print_file(o.path + "/model.safetensors", o);
  }
  for (const auto& e : fs::directory_iterator(o.path))
    if (e.path().string().ends_with(".safetensors.index.json")) return print_file(e.path().string(), o);
  fg::check<fg::FileError>(fs::exists(o.path + "/config.json"), "inspect", o.path, " is neither a run, nor a released model, nor a folder with a safetensors index");
  print_run(o.path, o);
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto* c = app.add_subcommand("inspect", "names, shapes, types and counts of a safetensors file, an index, a run or a released model");
  auto o = std::make_shared<Options>();
  c->add_option("path", o->path, "file.safetensors, an index (.json), a run folder or a released model")->required();
  c->add_option("--names", o->names, "only tensors with this in their names; * and ? stand for letters");
  c->add_flag("--metadata", o->whole_metadata, "show long metadata in full");
  c->callback([o] { run_inspect(*o); });
}

}  // namespace cli
