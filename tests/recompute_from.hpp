// While it lives, activations of at least so many bytes are computed again in backward (autograd/op_node.hpp).
#pragma once

#include <framegrad/autograd/op_node.hpp>

namespace fg {

class RecomputeFrom {
 public:
  explicit RecomputeFrom(Index bytes) : before_(recompute_from_bytes().exchange(bytes)) {}
  ~RecomputeFrom() { recompute_from_bytes() = before_; }
  RecomputeFrom(const RecomputeFrom&) = delete;
  RecomputeFrom& operator=(const RecomputeFrom&) = delete;

 private:
  Index before_;
};

}  // namespace fg
