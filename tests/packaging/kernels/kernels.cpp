// A sum on a device, or a word about why there is none.
#include <cstdio>

#include <framegrad/ops/add.hpp>

int main() {
  using namespace fg;
  const auto x = full<float, 1>({1000}, 2.0f);
  if (cuda::device_count() == 0) {
    std::puts(cuda::why_no_device());
    return *cuda::why_no_device() && (x + x)(999) == 4.0f ? 0 : 1;
  }
  const auto there = to(x, cuda_device());
  return to(there + there, kCpu)(999) == 4.0f ? 0 : 1;
}
