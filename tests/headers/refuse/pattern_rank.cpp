// An einops pattern of three axes, and a tensor of two.
// says: left side has another rank
#include <framegrad/ops/rearrange.hpp>

#ifdef ACCEPT
auto turned(const fg::Tensor<float, 3>& x) { return fg::rearrange<"b s d -> d s b">(x); }
#else
auto turned(const fg::Tensor<float, 2>& x) { return fg::rearrange<"b s d -> d s b">(x); }
#endif
