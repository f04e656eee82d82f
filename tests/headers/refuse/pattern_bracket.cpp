// A pattern whose group never ends.
// says: needs an arrow|is not a constant expression
#include <framegrad/ops/reduce.hpp>

#ifdef ACCEPT
auto pooled(const fg::Tensor<float, 2>& x) { return fg::reduce<"b (h i) -> b h", fg::Max>(x, fg::axis<"i">(2)); }
#else
auto pooled(const fg::Tensor<float, 2>& x) { return fg::reduce<"b (h i -> b h", fg::Max>(x, fg::axis<"i">(2)); }
#endif
