// A program with kernels for GPUs where there may be none: it says so once, plainly, and the CPU goes on being usable.
#include <cstdio>

#include <framegrad/framegrad.hpp>

int main() {
  using namespace fg;
  const auto x = variable(full<float, 2>({2, 3}, 2.0f));
  backward(sum(linear<GeluTanh>(x, full<float, 2>({4, 3}, 0.5f))));
  const bool cpu_works = grad(x).defined();
  if (cuda::device_count() > 0) {
    std::printf("a GPU: %s\n", cuda::facts(0).name);
    return cpu_works ? 0 : 1;
  }
  try {
    to(x.detach(), cuda_device());
  } catch (const DeviceError& e) {
    std::printf("%s\n", e.what());
    return cpu_works && *cuda::why_no_device() ? 0 : 1;
  }
  return 1;
}
