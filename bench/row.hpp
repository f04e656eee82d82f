// A row of the bench: an op, a type and a shape that a model has, what it must move or compute at least, and how to run it once.
//
// Each file of rows registers its own; nothing lists them. against_torch.py finds its side of a row by name, dtype and shape.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include <framegrad/autograd/backward.hpp>
#include <framegrad/core/philox.hpp>
#include <framegrad/nn/params.hpp>

#include "peak.hpp"

namespace bench {

enum class Bound { memory, compute };

/// What is timed, and what comes before it each time and is not.
struct Work {
  std::function<void()> run, before = [] {};
};

struct Row {
  std::string name, shape;
  fg::Dtype dtype;
  Bound bound;                                       // what limits it on a large machine: decides which peak it is held against
  double amount;                                     // bytes or FLOPs of one run
  std::function<Work()> prepare;                     // makes the tensors
  Index parameters = 0;                              // of the network that it runs; 0: an op

  const char* type() const { return dtype == fg::Dtype::bf16 ? "bf16" : "f32"; }
  std::string title() const { return fg::text(name, "/", type(), "/", shape); }
  double peak(const Peaks& p) const { return bound == Bound::memory ? p.copy(amount) : p.flops(dtype); }
  double share(const Peaks& p, double seconds) const { return amount / seconds / peak(p); }
};

inline std::vector<Row>& rows() {
  static std::vector<Row> all;
  return all;
}

/// Numbers of all parameters of a network that is made of the arguments and its parameters.
template <class Network, class... Arguments>
Index parameters_of(const Arguments&... arguments) {
  const fg::Params params = fg::Params::meta();
  const Network network(arguments..., params);
  return params.parameter_count();
}

/// At namespace scope: const Register registered([] { … add(…) … });
struct Register {
  template <class F>
  explicit Register(F&& add_rows) { add_rows(); }
};
inline void add(Row row) { rows().push_back(std::move(row)); }

/// As Register, for rows that only a GPU is large enough for; main adds them where it runs on one.
struct RegisterForGpu {
  explicit RegisterForGpu(std::function<void()> add_rows) { all().push_back(std::move(add_rows)); }
  static std::vector<std::function<void()>>& all() {
    static std::vector<std::function<void()>> list;
    return list;
  }
};

/// Where the rows run; before the first one is prepared.
inline fg::Device& device() {
  static fg::Device d = fg::kCpu;
  return d;
}
/// Ops on a GPU are queued: a time is one of their end.
inline void wait() {
  if constexpr (fg::kWithCuda)
    if (device().kind == fg::Device::Kind::cuda) fg::cuda::synchronize();
}

/// f for float and bf16: what the models train in.
template <class F>
void for_types(F&& f) {
  f(float{});
  f(fg::bf16{});
}

/// Standard normal numbers, times `scale`.
template <class T, int R>
fg::Tensor<T, R> random(const Index (&sizes)[R], double scale = 1) {
  static std::uint32_t next = 0;
  auto x = fg::empty<T, R>(sizes);
  fg::philox_fill_normal(1, 0, next++, x.data(), x.count());
  if (scale != 1)
    for (Index i = 0; i < x.count(); ++i) x.data()[i] = T(float(x.data()[i]) * float(scale));
  return fg::to(x, device());
}

template <class T> double item = double(sizeof(T));

/// Follows an op as the next one would: gives it a gradient that nobody else holds, where one given to `grad` is copied first.
class Upstream final : public fg::Node {
 public:
  explicit Upstream(fg::AnyTensor dy) : Node("upstream"), dy_(std::move(dy)) {}
  void backward(std::vector<fg::AnyTensor>&, fg::GradSink& sink) override {
    const fg::AnyTensor dy = std::move(dy_);
    sink.add(edges()[0], dy);
  }

 private:
  fg::AnyTensor dy_;
};

/// What `make` of add_op returns: tensors, and the op on them.
struct Run {
  std::vector<fg::AnyTensor> inputs;
  std::function<fg::AnyTensor(const std::vector<fg::AnyTensor>&)> forward;
};

inline Work forward_of(const Run& r) {
  return {[r] {
    const fg::NoGrad off;
    r.forward(r.inputs);
  }};
}
/// The op with its graph, and the gradients of all inputs.
inline Work gradient_of(Run r) {
  for (auto& x : r.inputs) x = fg::variable(x.detach());
  const auto dy = std::make_shared<fg::AnyTensor>();
  const auto before = [dy, r] {  // any gradient will do: the result itself
    const fg::NoGrad off;
    *dy = r.forward(r.inputs);
  };
  const auto run = [dy, r] {
    const fg::AnyTensor y = r.forward(r.inputs);
    const auto upstream = std::make_shared<Upstream>(std::move(*dy));  // after y's node: a node is younger than what it follows
    upstream->set_edges({y});
    fg::AnyTensor end = fg::scalar(1.0f);
    fg::add_output(upstream, end);
    for (const auto& d : fg::grad(end, r.inputs)) fg::check<fg::GradError>(d.defined(), "bench", "an input got no gradient");
  };
  return {run, before};
}

/// Two rows: y = f(x…) without graph, and with all gradients; amount_back is what both directions take together.
template <class T, class Make>
void add_op(const std::string& name, const std::string& shape, Bound bound, double amount, double amount_back, Make&& make) {
  add({name, shape, fg::dtype_of<T>, bound, amount, [make] { return forward_of(make()); }});
  add({name + " and gradient", shape, fg::dtype_of<T>, bound, amount_back, [make] { return gradient_of(make()); }});
}

/// One run, in seconds.
inline double timed(const Work& w) {
  w.before();
  wait();
  const double begin = now_s();
  w.run();
  wait();
  return now_s() - begin;
}

/// Seconds of a run. The fastest tells what the code can do, also where others take the processors away.
struct Times {
  double median, best;
};

/// Of about `seconds` of runs, at least one; those before it fill the allocator's pool.
inline Times time_of(const Work& w, double seconds, int before = 2) {
  for (int i = 0; i < before; ++i) timed(w);
  std::vector<double> times;
  for (const double begin = now_s(); times.empty() || now_s() - begin < seconds;) times.push_back(timed(w));
  std::sort(times.begin(), times.end());
  const std::size_t n = times.size();
  return {n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2, times[0]};
}

}  // namespace bench
