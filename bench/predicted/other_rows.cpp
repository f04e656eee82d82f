// Elementwise ops, softmax, rope, reductions, lookups, products by the library, and what an optimizer does to all weights.
#include <framegrad/nn/params.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/cast.hpp>
#include <framegrad/ops/dropout.hpp>
#include <framegrad/ops/embedding.hpp>
#include <framegrad/ops/geglu.hpp>
#include <framegrad/ops/gelu_tanh.hpp>
#include <framegrad/ops/linear.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/rope.hpp>
#include <framegrad/ops/scatter_add.hpp>
#include <framegrad/ops/softmax.hpp>
#include <framegrad/ops/sum.hpp>
#include <framegrad/optim/adamw.hpp>
#include <framegrad/optim/clip.hpp>
#include <framegrad/optim/ema.hpp>

#include "rows.hpp"

namespace predicted {
namespace {

constexpr Index kSmall = 32;

/// y = f(x) over [rows, C]; bytes of a number of x, forward and back.
template <class F>
void add_map(const std::string& op, const std::string& where, Index rows, Index C, double forward, double back, F f) {
  const double numbers = double(rows * C), small = double(kSmall * C);
  add(op, where, Unit::none, {forward * numbers, 0, forward * small}, {back * numbers, 0, back * small},
      [=]() -> Small { return {{random<T, 2>({kSmall, C})}, [f](const auto& in) { return f(in[0].template as<T, 2>()); }}; });
}

void add_products() {
  const auto add_linear = [](const std::string& where, Index N, Index in, Index out) {
    const Cost one{2.0 * double(N * (in + out) + in * out), 2.0 * double(N) * double(in * out)};
    add("linear (cuBLASLt)", where, Unit::library, one, {2 * one.bytes, 2 * one.flops}, []() -> Small {
      return {{random<T, 2>({kSmall, 64}), random<T, 2>({64, 64})}, [](const auto& x) { return fg::linear(x[0].template as<T, 2>(), x[1].template as<T, 2>()); }};
    });
  };
  add_linear("STDiT-XL/2, MLP: 8192 rows, 1152 to 4608", 8192, 1152, 4608);
  add_linear("CogVideoX-2B, MLP: 11252 rows, 1920 to 7680", 11252, 1920, 7680);
}

void add_lookups() {
  constexpr Index kWords = 1000, kWidth = 4096, kIds = 240;
  const auto ids = [](Index n) {
    auto t = fg::empty<std::int64_t, 1>({n});
    for (Index i = 0; i < n; ++i) t(i) = i * 37 % kWords;
    return fg::to(t, fg::cuda_device());
  };
  // Back: the gradients' rows in, and every row of the table out.
  add("embedding", "T5's table: 2x120 of 32128 rows of 4096", Unit::none, {2.0 * 2 * kIds * kWidth + 8.0 * kIds}, {2.0 * (kIds + 32128) * kWidth + 8.0 * kIds},
      [=]() -> Small { return {{random<T, 2>({kWords, kWidth}), ids(kSmall)}, [](const auto& in) { return fg::embedding(in[0].template as<T, 2>(), in[1].template as<std::int64_t, 1>()); }}; });
  add("scatter_add", "8192 rows of 1152 onto as many", Unit::none, {(3 * 2.0 + 8) * 8192 * 1152}, {0}, [=]() -> Small {
    auto at = fg::empty<std::int64_t, 2>({kSmall, 1152});
    for (Index i = 0; i < at.count(); ++i) at.data()[i] = i * 7 % kSmall;
    return {{random<T, 2>({kSmall, 1152}), fg::to(at, fg::cuda_device()), random<T, 2>({kSmall, 1152})},
            [](const auto& in) { return fg::scatter_add(in[0].template as<T, 2>(), 0, in[1].template as<std::int64_t, 2>(), in[2].template as<T, 2>()); }};
  });
}

/// Weights with gradients, on the device.
fg::Params weights() {
  const fg::Params p(1, fg::cuda_device());
  p.tensor<T, 2>("w", {kSmall, 1152}, fg::init::normal(1));
  for (const auto& slot : p.trainable()) static_cast<fg::Leaf&>(*slot->value.node()).grad = fg::AnyTensor(random<float, 2>({kSmall, 1152}));
  return p;
}
/// Bytes a weight; run(params) returns what is to be counted.
template <class Make>
void add_weights(const std::string& op, double bytes, Make make) {
  constexpr double kWeights = 724e6;
  rows().push_back({op, "STDiT-XL/2: 724 million weights in bf16", {bytes * kWeights, 0, bytes * kSmall * 1152}, Unit::none, [make](Launches& launches) {
                      const fg::Params p = weights();
                      return launches.of(make(p));
                    }});
}

}  // namespace

void add_other_rows() {
  const std::string tokens = "STDiT-XL/2: 8192 rows of 1152", inner = "STDiT-XL/2, MLP: 8192 rows of 4608";
  add_map("gelu_tanh", inner, 8192, 4608, 4, 6, [](const auto& x) { return fg::gelu_tanh(x); });
  add_map("geglu", "ModelScopeT2V: 16 frames of 32x32 cells, 1280 of 2560", 16384, 2560, 3, 5, [](const auto& x) { return fg::geglu(x); });
  add_map("softmax", "4096 rows of 4096", 4096, 4096, 4, 6, [](const auto& x) { return fg::softmax(x); });
  add_map("rope", "CogVideoX-2B: 10800 rows of 30 heads of 64", 10800, 1920, 4, 4,
          [table = fg::to(fg::rope_table<float>(kSmall, 64), fg::cuda_device())](const auto& x) { return fg::rope<fg::RopeAdjacent>(x, table); });
  add_map("mul", tokens, 8192, 1152, 4, 6, [](const auto& x) { return fg::mul(x, x); });
  add_map("add of a row", tokens, 8192, 1152, 4, 4, [row = random<T, 1>({1152})](const auto& x) { return fg::add(x, row); });
  add_map("sum", tokens, 8192, 1152, 2, 2, [](const auto& x) { return fg::sum(x); });
  add_map("cast to f32", tokens, 8192, 1152, 6, 6, [](const auto& x) { return fg::cast<float>(x); });
  add_map("dropout", tokens, 8192, 1152, 4, 4, [](const auto& x) { return fg::dropout(x, 0.1f, true); });
  add_lookups();
  add_products();
  // The weight, its f32 gradient, master and two moments in; all but the gradient out.
  add_weights("AdamW", 30, [](const fg::Params& p) {
    const auto adamw = std::make_shared<fg::AdamW>(p);
    adamw->step(1e-3);  // the first one makes the masters
    return [p, adamw] { adamw->step(1e-3); };
  });
  add_weights("gradient norm", 4, [](const fg::Params& p) { return [p] { fg::grad_norm(p); }; });
  add_weights("EMA of masters", 12, [](const fg::Params& p) {
    const auto adamw = std::make_shared<fg::AdamW>(p);
    const auto ema = std::make_shared<fg::Ema>(p);
    adamw->step(1e-3);
    return [=] { ema->update(adamw.get()); };
  });
}

}  // namespace predicted
