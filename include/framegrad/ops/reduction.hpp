// What sum, mean and var share: naming axes, and walking a dense tensor in memory order while some axes are summed over.
//
//   sum(x)              over all axes → Tensor<T, 0>
//   sum<0, -1>(x)       over the first and the last → Tensor<T, R − 2>
//   sum<keepdim, -1>(x) over the last, which stays with size 1 → Tensor<T, R>
//
// Axes in memory order, neighbours of one kind merged, are blocks that are kept (K) or reduced (R). With the last block set
// apart, a tensor is  cells × terms × run:  a cell for each index of the other kept blocks, a term for each of the other reduced ones, a
// run of neighbours in memory. A reduced run gives one sum a cell; a kept run gives a sum at each of its places.
// Terms are summed in chunks whose size depends on the shape alone, and the chunks in order: the same bits for any number of threads.
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Given before the axes of a reduction: they stay, with size 1.
struct KeepDim {};
inline constexpr KeepDim keepdim{};

/// Which axes go: bit i for axis i.
struct ReducedAxes {
  unsigned mask = 0;
  bool keep = false;
  bool has(int axis) const { return (mask >> axis & 1u) != 0; }
};

namespace detail {

template <auto A>
inline constexpr bool is_keepdim = std::is_same_v<std::remove_cv_t<decltype(A)>, KeepDim>;

/// <keepdim, 0, -1> for a tensor of rank R; without axes, all of them.
template <int R, auto... Axes>
struct AxisList {
  static constexpr bool keep = (is_keepdim<Axes> || ...);
  static constexpr int named = int(sizeof...(Axes)) - int(keep);
  template <auto A>
  static constexpr unsigned bit() {
    if constexpr (is_keepdim<A>) return 0;
    else {
      static_assert(A >= -R && A < R, "a reduction names an axis that the tensor doesn't have");
      return 1u << (A < 0 ? A + R : A);
    }
  }
  static constexpr unsigned mask = named == 0 ? (1u << R) - 1 : (bit<Axes>() | ... | 0u);
  static constexpr int reduced = std::popcount(mask);
  static_assert(named == 0 || reduced == named, "a reduction names an axis twice");
  static constexpr int rank = keep ? R : R - reduced;  // of the result
  static constexpr ReducedAxes axes{mask, keep};
};

/// A reduction's result, described: dense in x's order of axes.
template <class T>
Tensor<T> reduced_like(const AnyTensor& x, const ReducedAxes& axes) {
  Geometry g;
  for (int i = 0; i < x.rank(); ++i) {
    if (axes.has(i) && !axes.keep) continue;
    g.sizes.push_back(axes.has(i) ? 1 : x.sizes()[i]);
    g.strides.push_back(x.strides()[i]);
  }
  return Tensor<T>(AnyTensor::described(dtype_of<T>, g.sizes, dense_strides(g.sizes, g)));
}

/// The result's strides over x's sizes: 0 along the axes that were reduced.
inline Strides result_strides(const AnyTensor& x, const AnyTensor& y, const ReducedAxes& axes) {
  Strides s;
  int at = 0;
  for (int i = 0; i < x.rank(); ++i) {
    const bool gone = axes.has(i);
    s.push_back(gone ? 0 : y.strides()[at]);
    if (!gone || axes.keep) ++at;
  }
  return s;
}

inline Index reduced_count(const AnyTensor& x, const ReducedAxes& axes) {
  Index n = 1;
  for (int i = 0; i < x.rank(); ++i)
    if (axes.has(i)) n *= x.sizes()[i];
  return n;
}

}  // namespace detail

namespace cpu {

/// The blocks of one kind outside of the run: sizes and strides, the slowest first.
struct Blocks {
  int rank = 0;
  Index count = 1;
  std::array<Index, kMaxRank> size{}, stride{};
  void push(Index n, Index s) { size[rank] = n, stride[rank] = s, ++rank, count *= n; }
  FRAMEGRAD_INLINE Index offset(Index i) const {
    Index at = 0;
    for (int b = rank - 1; b > 0; --b) {
      const Index q = i / size[b];
      at += (i - q * size[b]) * stride[b];
      i = q;
    }
    return rank ? at + i * stride[0] : 0;
  }
};

struct ReductionPlan {
  Blocks cells, terms;
  Index run = 1;
  bool run_is_reduced = true;
  Index terms_a_chunk = 1, chunks = 1;

  /// For a dense tensor that is not empty.
  ReductionPlan(const Geometry& g, const ReducedAxes& axes) {
    struct Block { Index size, stride; bool reduced; };
    std::vector<Block> blocks;
    const auto order = g.order();
    for (int i = 0; i < g.rank(); ++i) {
      const int a = order[std::size_t(i)];
      if (g.sizes[a] == 1) continue;
      if (!blocks.empty() && blocks.back().reduced == axes.has(a)) {
        blocks.back().size *= g.sizes[a], blocks.back().stride = g.strides[a];
      } else {
        blocks.push_back({g.sizes[a], g.strides[a], axes.has(a)});
      }
    }
    if (!blocks.empty()) run = blocks.back().size, run_is_reduced = blocks.back().reduced, blocks.pop_back();
    constexpr Index kPiece = 1 << 13;  // a long reduced run becomes terms of this length; 8192 = 2^13 parts divide most of them
    if (run_is_reduced && run >= 2 * kPiece && run % kPiece == 0) blocks.push_back({run / kPiece, kPiece, true}), run = kPiece;
    for (const Block& b : blocks) (b.reduced ? terms : cells).push(b.size, b.stride);
    constexpr Index kChunk = 1 << 15;  // numbers in a chunk, about
    terms_a_chunk = std::max<Index>(1, kChunk / run);
    chunks = (terms.count + terms_a_chunk - 1) / terms_a_chunk;
  }
  Index places() const { return run_is_reduced ? 1 : run; }  // results a cell
};

/// Σ term(x) of one chunk for a range of cells (a reduced run), or of one chunk at a range of places of one cell (a kept one).
template <class Term>
struct ReduceRuns {
  template <int B, class T, class A>
  FRAMEGRAD_INLINE static void run(const ReductionPlan& p, Range cells, Index chunk, const T* x, const A* shift, A* partial) {
    using V = Vec<A, B>;
    using L = Lanes<V>;
    const Index first = chunk * p.terms_a_chunk, last = std::min(first + p.terms_a_chunk, p.terms.count);
    for (Index cell = cells.begin; cell < cells.end; ++cell) {
      const T* base = x + p.cells.offset(cell);
      const V about(shift ? shift[cell] : A(0));
      A s = 0;
      for (Index t = first; t < last; ++t) {
        const T* r = base + p.terms.offset(t);
        s += sum<V>(p.run, [&](const L& l) FRAMEGRAD_LAMBDA { return Term::of(l.load(r), about); });
      }
      partial[cell] = s;
    }
  }
};
template <class Term>
struct ReduceColumns {
  template <int B, class T, class A>
  FRAMEGRAD_INLINE static void run(const ReductionPlan& p, Range places, Index cell, Index chunk, const T* x, const A* shift, A* partial) {
    using V = Vec<A, B>;
    constexpr int N = V::lanes;
    const Index first = chunk * p.terms_a_chunk, last = std::min(first + p.terms_a_chunk, p.terms.count);
    const T* base = x + p.cells.offset(cell);
    const A* about = shift ? shift + cell * p.run : nullptr;
    A* out = partial + cell * p.run;
    Index c = places.begin;
    for (; c + 4 * N <= places.end; c += 4 * N) {  // four vectors of columns stay in registers
      const Lanes<V> l0{c}, l1{c + N}, l2{c + 2 * N}, l3{c + 3 * N};
      V a0(0), a1(0), a2(0), a3(0), m0(0), m1(0), m2(0), m3(0);
      if (about) m0 = l0.load(about), m1 = l1.load(about), m2 = l2.load(about), m3 = l3.load(about);
      for (Index t = first; t < last; ++t) {
        const T* r = base + p.terms.offset(t);
        a0 += Term::of(l0.load(r), m0), a1 += Term::of(l1.load(r), m1), a2 += Term::of(l2.load(r), m2), a3 += Term::of(l3.load(r), m3);
      }
      l0.store(out, a0), l1.store(out, a1), l2.store(out, a2), l3.store(out, a3);
    }
    for (; c < places.end; c += N) {
      const Lanes<V> l{c, int(std::min<Index>(N, places.end - c))};
      V a(0), m(0);
      if (about) m = l.load(about);
      for (Index t = first; t < last; ++t) a += Term::of(l.load(base + p.terms.offset(t)), m);
      l.store(out, a);
    }
  }
};

/// out[cell, place] = scale · Σ Term::of(x, shift[cell, place]); no shift counts as 0.
template <class Term, class T, class A, class D>
void reduce(const ReductionPlan& p, const T* x, const A* shift, A scale, D* out) {
  const Index results = p.cells.count * p.places();
  std::vector<A> partial(std::size_t(results * p.chunks));
  if (p.run_is_reduced) {
    const double cost = 0.15 * double(std::min(p.terms_a_chunk, p.terms.count) * p.run) + 2;
    parallel_for(p.cells.count * p.chunks, cost, [&](Range r) {
      for (Index i = r.begin; i < r.end;) {  // chunk by chunk, over the cells that the range has of it
        const Index chunk = i / p.cells.count, cell = i % p.cells.count, end = std::min(r.end, (chunk + 1) * p.cells.count);
        dispatch<ReduceRuns<Term>>(p, Range{cell, cell + end - i}, chunk, x, shift, partial.data() + chunk * results);
        i = end;
      }
    });
  } else {
    constexpr Index kStrip = 1024;  // places that are taken together: rows are read in pieces of some KiB
    const Index strips = (p.run + kStrip - 1) / kStrip;
    const double cost = 0.15 * double(std::min(p.terms_a_chunk, p.terms.count) * std::min(p.run, kStrip));
    parallel_for(p.cells.count * p.chunks * strips, cost, [&](Range r) {
      for (Index i = r.begin; i < r.end; ++i) {
        const Index strip = i % strips, cell = i / strips % p.cells.count, chunk = i / strips / p.cells.count;
        dispatch<ReduceColumns<Term>>(p, Range{strip * kStrip, std::min(p.run, (strip + 1) * kStrip)}, cell, chunk, x, shift, partial.data() + chunk * results);
      }
    });
  }
  for (Index i = 0; i < results; ++i) {
    A s = partial[std::size_t(i)];
    for (Index chunk = 1; chunk < p.chunks; ++chunk) s += partial[std::size_t(chunk * results + i)];
    out[i] = D(s * scale);
  }
}

/// dx = Grad::of(g, x, shift), a reduction's result spread over the terms again. x and shift may be null.
template <class Grad>
struct SpreadRuns {
  template <int B, class T, class A>
  FRAMEGRAD_INLINE static void run(const ReductionPlan& p, Range terms, Index cell, const T* g, const T* x, const A* shift, A scale, T* dx) {
    using V = Vec<A, B>;
    using L = Lanes<V>;
    const Index base = p.cells.offset(cell);
    for (Index t = terms.begin; t < terms.end; ++t) {
      const Index at = base + p.terms.offset(t);
      if (p.run_is_reduced) {
        const V s(A(g[cell]) * scale), m(shift ? shift[cell] : A(0));
        each<V>(p.run, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dx + at, x ? Grad::of(s, l.load(x + at), m) : s); });
      } else {
        const T* gr = g + cell * p.run;
        each<V>(p.run, [&](const L& l) FRAMEGRAD_LAMBDA {
          const V s = l.load(gr) * V(scale);
          l.store(dx + at, x ? Grad::of(s, l.load(x + at), l.load(shift + cell * p.run)) : s);
        });
      }
    }
  }
};

template <class Grad, class T, class A>
void spread(const ReductionPlan& p, const T* g, const T* x, const A* shift, A scale, T* dx) {
  parallel_for(p.cells.count * p.terms.count, 0.15 * double(p.run) + 2, [&](Range r) {
    for (Index i = r.begin; i < r.end;) {
      const Index cell = i / p.terms.count, term = i % p.terms.count, end = std::min(r.end, (cell + 1) * p.terms.count);
      dispatch<SpreadRuns<Grad>>(p, Range{term, term + end - i}, cell, g, x, shift, scale, dx);
      i = end;
    }
  });
}

}  // namespace cpu

}  // namespace fg::inline FRAMEGRAD_ABI
