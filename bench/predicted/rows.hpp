// A row of the prediction: an op where a model has it, what it must move and compute at least, and how to run it small.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <framegrad/autograd/backward.hpp>
#include <framegrad/core/philox.hpp>

#include "launches.hpp"

namespace predicted {

using fg::Index;
using T = fg::bf16;

enum class Unit { none, tensor_cores, library };  // what multiplies, if products bound it

struct Cost {
  double bytes, flops = 0;
  double small_bytes = 0;  // at least, of the small run; 0 where its traffic is unlike that of the model's shape (a convolution's is mostly weights)
};
struct Row {
  std::string op, where;
  Cost cost;                                          // there, at least
  Unit unit;
  std::function<std::vector<Kernel>(Launches&)> run;  // small, with the kernels that the model's shape takes
};

/// An op on small tensors.
struct Small {
  std::vector<fg::AnyTensor> inputs;
  std::function<fg::AnyTensor(const std::vector<fg::AnyTensor>&)> forward;
};

inline std::vector<Row>& rows() {
  static std::vector<Row> all;
  return all;
}

template <class S = T, int R>
fg::Tensor<S, R> random(const Index (&sizes)[R]) {
  static std::uint32_t next = 0;
  const auto x = fg::empty<S, R>(sizes);
  fg::philox_fill_normal(1, 0, next++, x.data(), x.count());
  return fg::to(x, fg::cuda_device());
}

/// A row forward, and one for all gradients unless `back` has no bytes.
inline void add(const std::string& op, const std::string& where, Unit unit, Cost forward, Cost back, std::function<Small()> make) {
  rows().push_back({op, where, forward, unit, [make](Launches& launches) {
                      const Small s = make();
                      const fg::NoGrad off;
                      return launches.of([&] { s.forward(s.inputs); });
                    }});
  if (back.bytes == 0) return;
  rows().push_back({op + ", gradients", where, back, unit, [make](Launches& launches) {
                      Small s = make();
                      for (auto& x : s.inputs)
                        if (fg::is_floating_dtype(x.dtype())) x = fg::variable(x);
                      const fg::AnyTensor y = s.forward(s.inputs), g = fg::AnyTensor::empty(y.dtype(), y.sizes(), y.device());
                      fg::copy_into(g, y.detach());
                      return launches.of([&] { fg::BackwardWalk::run({{y, g}}); });
                    }});
}

void add_attention_rows();
void add_norm_rows();
void add_conv_rows();
void add_other_rows();

}  // namespace predicted
