// randn, rand, randint, randperm — random tensors, with the numbers that PyTorch's CPU generator gives for the same seed.
#pragma once

#include <framegrad/core/random.hpp>
#include <framegrad/core/tensor.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Standard normal numbers.
template <class T, int R>
Tensor<T, R> randn(const Index (&sizes)[R], Generator& generator = default_generator()) {
  auto t = empty<T, R>(sizes);
  fill_randn(t.data(), t.count(), generator);
  return t;
}

/// Uniform numbers in [0, 1).
template <class T, int R>
Tensor<T, R> rand(const Index (&sizes)[R], Generator& generator = default_generator()) {
  auto t = empty<T, R>(sizes);
  fill_rand(t.data(), t.count(), generator);
  return t;
}

/// Whole numbers in [low, high). Throws ConfigError if there is none.
template <int R>
Tensor<std::int64_t, R> randint(std::int64_t low, std::int64_t high, const Index (&sizes)[R], Generator& generator = default_generator()) {
  auto t = empty<std::int64_t, R>(sizes);
  fill_randint(t.data(), t.count(), low, high, generator);
  return t;
}

/// 0 … n−1 in random order.
inline Tensor<std::int64_t, 1> randperm(Index n, Generator& generator = default_generator()) {
  auto t = empty<std::int64_t, 1>({n});
  fill_randperm(t.data(), n, generator);
  return t;
}

}  // namespace fg::inline FRAMEGRAD_ABI
