// TAEF2's decoder, one frame of 512x512 pixels.
#include <framegrad/models/taef2.hpp>

#include "row.hpp"

namespace bench {
namespace {

constexpr Index kSide = 64;  // of the latent; the frame has eight times that

/// 2 a tap, channel in and out, and cell: convolutions of 3x3 from 64 to 64 at the four sizes, from and to the latent and the frame, and the context's;
/// as the definition has them, whatever is saved.
double flops() {
  const double pixels = 64.0 * kSide * kSide, inner = 2.0 * 9 * 64 * 64;
  return pixels * (inner * (4 + 10 / 4.0 + 10 / 16.0 + 9 / 64.0) + 2.0 * 9 * 64 * 3 + (2.0 * 9 * 32 * 64 + 3 * 2 * 2.0 * 64 * 256) / 64);
}

template <class T>
void add_decoder() {
  add({"taef2 decoder", "1x32x64x64", fg::dtype_of<T>, Bound::compute, flops(),
       []() -> Work {
         const auto decoder = std::make_shared<fg::Taef2Decoder<T>>(fg::Params(0, device()));
         const auto latents = random<T, 4>({1, fg::kTaef2Channels, kSide, kSide});
         return {[=] {
           const fg::NoGrad off;
           (*decoder)(latents);
         }};
       },
       parameters_of<fg::Taef2Decoder<float>>()});
}

const Register registered([] {
  for_types([](auto t) { add_decoder<decltype(t)>(); });
});

}  // namespace
}  // namespace bench
