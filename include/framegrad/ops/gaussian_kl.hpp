// gaussian_kl — the divergence of two diagonal Gaussians, element by element, in nats.
//
//   KL(q ‖ p) = ½(−1 + l_p − l_q + e^(l_q − l_p) + (μ_q − μ_p)²·e^(−l_p))        l the logarithms of the variances
//
// Kingma and Welling 2013 (arXiv:1312.6114), appendix B, for two general means.
#pragma once

#include <framegrad/ops/add.hpp>
#include <framegrad/ops/affine.hpp>
#include <framegrad/ops/exp.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/sub.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Four tensors that broadcast against each other → their broadcast shape. Throws ShapeError if they don't.
template <class T, int Rmq, int Rlq, int Rmp, int Rlp>
auto gaussian_kl(const Tensor<T, Rmq>& mean_q, const Tensor<T, Rlq>& log_var_q, const Tensor<T, Rmp>& mean_p, const Tensor<T, Rlp>& log_var_p) {
  const auto difference = mean_q - mean_p;
  const auto spread = log_var_p - log_var_q;
  return 0.5 * (spread + exp(-spread) + difference * difference * exp(-log_var_p) - 1.0);
}

}  // namespace fg::inline FRAMEGRAD_ABI
