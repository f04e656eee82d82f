// A number as the formulas of ops/formula see it: what cpu::Vec is on the CPU, with one lane.
#pragma once

#include <framegrad/core/config.hpp>

#include "cuda/launch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

struct Number {
  using Scalar = float;
  float v;

  __device__ __forceinline__ Number(float x) : v(x) {}
  __device__ __forceinline__ Number(int x) : v(float(x)) {}

  friend __device__ __forceinline__ Number operator+(Number a, Number b) { return a.v + b.v; }
  friend __device__ __forceinline__ Number operator-(Number a, Number b) { return a.v - b.v; }
  friend __device__ __forceinline__ Number operator*(Number a, Number b) { return a.v * b.v; }
  friend __device__ __forceinline__ Number operator/(Number a, Number b) { return a.v / b.v; }
  friend __device__ __forceinline__ Number operator-(Number a) { return -a.v; }

  friend __device__ __forceinline__ bool operator==(Number a, Number b) { return a.v == b.v; }
  friend __device__ __forceinline__ bool operator!=(Number a, Number b) { return a.v != b.v; }
  friend __device__ __forceinline__ bool operator<(Number a, Number b) { return a.v < b.v; }
  friend __device__ __forceinline__ bool operator<=(Number a, Number b) { return a.v <= b.v; }
  friend __device__ __forceinline__ bool operator>(Number a, Number b) { return a.v > b.v; }
  friend __device__ __forceinline__ bool operator>=(Number a, Number b) { return a.v >= b.v; }

  friend __device__ __forceinline__ Number select(bool c, Number a, Number b) { return c ? a : b; }
  friend __device__ __forceinline__ Number abs(Number a) { return fabsf(a.v); }
  // As the CPU's vectors do: of a NaN and a number, the second operand.
  friend __device__ __forceinline__ Number max(Number a, Number b) { return a.v > b.v ? a : b; }
  friend __device__ __forceinline__ Number min(Number a, Number b) { return a.v < b.v ? a : b; }
  friend __device__ __forceinline__ Number exp(Number a) { return expf(a.v); }
  friend __device__ __forceinline__ Number log(Number a) { return logf(a.v); }
  friend __device__ __forceinline__ Number sqrt(Number a) { return sqrtf(a.v); }
  friend __device__ __forceinline__ Number rsqrt(Number a) { return rsqrtf(a.v); }
  friend __device__ __forceinline__ Number sin(Number a) { return sinf(a.v); }
  friend __device__ __forceinline__ Number cos(Number a) { return cosf(a.v); }
  friend __device__ __forceinline__ Number tanh(Number a) { return tanhf(a.v); }
  friend __device__ __forceinline__ Number erf(Number a) { return erff(a.v); }
  friend __device__ __forceinline__ Number pow(Number a, Number b) { return powf(a.v, b.v); }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
