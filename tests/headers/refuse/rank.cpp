// A tensor of three axes is no tensor of two.
// says: deleted
#include <framegrad/core/tensor.hpp>

#ifdef ACCEPT
constexpr int kRank = 2;
#else
constexpr int kRank = 3;
#endif

fg::Index rows(const fg::Tensor<float, 2>& x) { return x.size(0); }
fg::Index count(const fg::Tensor<float, kRank>& x) { return rows(x); }
