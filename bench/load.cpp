// A gigabyte of weights from a safetensors file that the system has in its page cache, into a model's tensors; and mapped, so that a tensor is read
// when it is first touched.
#include <filesystem>

#include <framegrad/io/safetensors.hpp>

#include "row.hpp"

namespace bench {
namespace {

constexpr Index kTensors = 256, kSide = 1024;

/// The model's tensors and their file, which goes with them.
struct Stored {
  Stored() : path(std::filesystem::temp_directory_path() / fg::text("framegrad_bench_", ::getpid(), ".safetensors")) {
    for (Index i = 0; i < kTensors; ++i) params.tensor<float, 2>(std::to_string(i), {kSide, kSide}, fg::init::constant(0.5));
    fg::save_params(params, path);
  }
  ~Stored() { std::filesystem::remove(path); }
  fg::Params params;
  std::string path;
};

void add_load(const std::string& name, bool keep_mapped, double amount) {
  add({name, "256x1024x1024", fg::Dtype::f32, Bound::memory, amount, [=]() -> Work {
         return {[=, stored = std::make_shared<Stored>()] { fg::load_params(stored->params, stored->path, {.keep_mapped = keep_mapped}); }};
       }});
}

const Register registered([] {
  add_load("safetensors load", false, 2 * 4.0 * double(kTensors * kSide * kSide));
  add_load("safetensors load, mapped", true, 0);
});

}  // namespace
}  // namespace bench
