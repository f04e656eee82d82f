// The tiny STDiT of specs H.2, and its masks.
#pragma once

#include <framegrad/models/stdit.hpp>

#include "fill.hpp"

namespace fg::test {

inline StditConfig tiny() {
  StditConfig c;
  c.hidden = 96, c.depth = 3, c.heads = 4, c.caption_width = 32, c.caption_tokens = 12;
  c.frames = 4, c.height = 8, c.width = 8;
  return c;
}

/// Rows of 1 in the first columns: so many tokens for each sample.
inline Tensor<std::int64_t, 2> prefix_mask(std::initializer_list<Index> lengths, Index L) {
  auto m = zeros<std::int64_t>({Index(lengths.size()), L});
  Index b = 0;
  for (const Index n : lengths) {
    for (Index l = 0; l < n; ++l) m(b, l) = 1;
    ++b;
  }
  return m;
}

}  // namespace fg::test
