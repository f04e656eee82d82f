// embedding — rows of a table, by number.
//
//   y[i] = weight[id_i]        ∂L/∂weight[v] = Σ ∂L/∂y[i]   over the i with id_i = v, in their order
//
// Rows of the gradient are spread over threads, and each is summed by one: the same bits for any number of threads.
#pragma once

#include <algorithm>
#include <numeric>

#include <framegrad/cpu/simd.hpp>
#include <framegrad/cuda/indexing.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct Embedding {
  static constexpr std::string_view name = "embedding";
  static constexpr Layout layout = Layout::row_major;
  using A = accum_t<T>;

  struct Attrs {};
  struct In    { Tensor<T> weight; Tensor<std::int64_t> ids; };   // weight [V, D]   ids [...]
  struct Out   { Tensor<T> y; };                                  // [..., D]
  struct Saved { Tensor<std::int64_t> ids; };

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.weight.rank() == 2, name, "weight is ", in.weight.sizes(), ", it needs [V, D]");
    Shape sizes = in.ids.sizes();
    sizes.push_back(in.weight.size(1));
    out = {of_shape<T>(sizes)};
    saved = {in.ids};
  }

  struct AddRow {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index D, const T* from, A* to) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(D, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(to, l.load(to) + l.load(from)); });
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    const Index V = in.weight.size(0), D = in.weight.size(1);
    parallel_for(in.ids.count(), 0.2 * double(D) + 5, [&](Range r) {
      for (Index i = r.begin; i < r.end; ++i) {
        const Index id = in.ids.data()[i];
        check_shape(id >= 0 && id < V, name, "id ", id, " at position ", i, ", the table has ", V, " rows");
        std::memcpy(static_cast<void*>(out.y.data() + i * D), in.weight.data() + id * D, std::size_t(D) * sizeof(T));
      }
    });
  }
  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    const Index D = d.weight.size(1), n = saved.ids.count();
    const std::int64_t* ids = saved.ids.data();
    std::memset(static_cast<void*>(d.weight.data()), 0, std::size_t(d.weight.bytes()));
    std::vector<Index> order(static_cast<std::size_t>(n)), starts;  // positions by id; where a new id begins
    std::iota(order.begin(), order.end(), Index(0));
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return ids[a] < ids[b]; });
    for (Index i = 0; i < n; ++i)
      if (i == 0 || ids[order[std::size_t(i)]] != ids[order[std::size_t(i - 1)]]) starts.push_back(i);
    starts.push_back(n);
    const Index distinct = Index(starts.size()) - 1;
    parallel_for(distinct, 0.4 * double(n * D) / double(std::max<Index>(1, distinct)), [&](Range r) {
      std::vector<A> sum(static_cast<std::size_t>(D));
      for (Index k = r.begin; k < r.end; ++k) {
        std::fill(sum.begin(), sum.end(), A(0));
        for (Index i = starts[std::size_t(k)]; i < starts[std::size_t(k + 1)]; ++i)
          cpu::dispatch<AddRow>(D, static_cast<const T*>(g.y.data() + order[std::size_t(i)] * D), sum.data());
        T* row = d.weight.data() + ids[order[std::size_t(starts[std::size_t(k)])]] * D;
        for (Index c = 0; c < D; ++c) row[c] = T(sum[std::size_t(c)]);
      }
    });
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    cuda::IndexKernels<T>::pick_rows(in.weight.data(), in.ids.data(), out.y.data(), 1, in.weight.size(0), in.ids.count(), in.weight.size(1));
  }
  static void backward(Cuda, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    cuda::IndexKernels<T>::add_rows(g.y.data(), saved.ids.data(), d.weight.data(), 1, d.weight.size(0), saved.ids.count(), d.weight.size(1));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// weight [V, D], ids [...] → [..., D]. Throws ShapeError if an id is outside [0, V).
template <class T, int R>
Tensor<T, R + 1> embedding(const Tensor<T, 2>& weight, const Tensor<std::int64_t, R>& ids) {
  return Tensor<T, R + 1>(apply<ops::Embedding<T>>({}, {weight, ids}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
