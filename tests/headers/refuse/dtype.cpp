// bf16 and f32 do not mix without a cast.
// says: no match for .operator\+.|invalid operands
#include <framegrad/ops/add.hpp>

#ifdef ACCEPT
using Other = float;
#else
using Other = fg::bf16;
#endif

auto sum(const fg::Tensor<float, 2>& x, const fg::Tensor<Other, 2>& y) { return x + y; }
