// An einsum whose result has a name that no operand has.
// says: result only
#include <framegrad/ops/einsum.hpp>

#ifdef ACCEPT
auto product(const fg::Tensor<float, 2>& a, const fg::Tensor<float, 2>& b) { return fg::einsum<"i k, k j -> j i">(a, b); }
#else
auto product(const fg::Tensor<float, 2>& a, const fg::Tensor<float, 2>& b) { return fg::einsum<"i k, k j -> j x">(a, b); }
#endif
