// An einops pattern that loses an axis.
// says: one side only
#include <framegrad/ops/rearrange.hpp>

#ifdef ACCEPT
auto flat(const fg::Tensor<float, 3>& x) { return fg::rearrange<"b s d -> (b s) d">(x); }
#else
auto flat(const fg::Tensor<float, 3>& x) { return fg::rearrange<"b s d -> b s">(x); }
#endif
