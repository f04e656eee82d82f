// What the ladders share. A ladder is one problem and a row of kernels that solve it, each with one idea more than the one before.
#pragma once

#include <framegrad/core/dtype.hpp>
#include <framegrad/core/error.hpp>

#include "cuda/launch.cuh"

namespace ladder {

using fg::bf16;
using fg::Index;

template <class Problem>
struct Rung {
  const char* name;              // of its file
  void (*run)(const Problem&);   // queues its kernels
  bool bf16 = false;             // reads the problem's bf16 numbers, not its f32 ones
};

/// Pieces of `size` that n takes.
constexpr int ceil_div(int n, int size) { return (n + size - 1) / size; }

/// A rung that reads 16 bytes at once needs rows of whole pieces.
inline void need_pieces(const char* what, int n, int piece) {
  if (n % piece) throw fg::ShapeError(fg::text(what, " is ", n, ", this step needs a multiple of ", piece));
}

}  // namespace ladder
