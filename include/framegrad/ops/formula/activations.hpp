// The activations that linear and conv compute while a block of their result is in cache: linear<GeluTanh>(x, w, b).
#pragma once

#include <framegrad/ops/formula/gelu.hpp>
#include <framegrad/ops/formula/gelu_tanh.hpp>
#include <framegrad/ops/formula/relu.hpp>
#include <framegrad/ops/formula/silu.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct NoActivation {};
using formula::Gelu, formula::GeluTanh, formula::Relu, formula::Silu;

}  // namespace fg::inline FRAMEGRAD_ABI
