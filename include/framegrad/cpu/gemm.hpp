// gemm — matrix product on the instruction set that the processor has.
//
//   C[m,n] (+)= alpha·Σ_k A[m,k]·B[k,n]        then bias and activation (gemm_epilogue.hpp)
//
// B is packed into slivers of two vectors' width (gemm_pack.hpp), once for all if C has many blocks of rows, else by each block
// for itself, k block by k block, so that they never leave its cache. C is cut into blocks (gemm_plan.hpp), which threads take a few at a time:
//
//   for a block of k whose sliver stays near the tiles, sums staying in the second-level cache
//     for each sliver, for each few rows of A          a register tile (gemm_tile.hpp, gemm_amx.hpp)
//
// float and double, and half and bf16 widened to float while packing, go by FMA; bf16 by pairs where the processor
// multiplies pairs. A is read where it lies if k is contiguous. Sums that need an epilogue, a conversion or more columns
// than C has stand in a scratch first: those of the last block of k in one of the first-level cache. A bias alone is what sums begin at.
//
// What is next — lines of C, the next block of k, the next product of a batch — is fetched while tiles multiply, a line at a time (gemm_ahead.hpp).
//
// The order of a sum depends on k and the instruction set alone: equal bits for any number of threads.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <memory>

#include <framegrad/core/parallel.hpp>
#include <framegrad/cpu/gemm_amx.hpp>
#include <framegrad/cpu/gemm_epilogue.hpp>
#include <framegrad/cpu/gemm_plan.hpp>
#include <framegrad/cpu/gemm_tile.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

namespace detail {

/// Memory that a thread keeps between products: a fresh buffer would cost a page fault for every 4 KiB. In huge pages where it fills one.
template <class Tag>
void* gemm_scratch(Index bytes) {
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  static thread_local std::unique_ptr<void, Free> memory;
  static thread_local Index size = 0;
  if (size < bytes) {
    const Index huge = Index(1) << 21, page = bytes < huge ? 4096 : huge;
    size = (bytes + page - 1) / page * page;
    memory.reset();
    memory.reset(std::aligned_alloc(std::size_t(page), std::size_t(size)));
    if (memory && page == huge) ::madvise(memory.get(), std::size_t(size), MADV_HUGEPAGE);
    if (!memory) {
      size = 0;
      throw OutOfMemory(text("gemm: no memory for a scratch of ", bytes, " bytes"));
    }
  }
  return memory.get();
}

template <class T, class U, class Out>
void gemm_block(const GemmPlan& p, const Operand<T>& a, const Operand<T>& b, const U* packed, Index row, Index sliver,
                const accum_t<T>* begin, Out* c, Index ldc, const GemmOptions<Out>& o) {
  using A = accum_t<T>;
  constexpr int D = kUnitDepth<U>;
  const Index rows = a.lines - row < p.row_block ? a.lines - row : p.row_block;
  const Index slivers = p.slivers - sliver < p.sliver_block ? p.slivers - sliver : p.sliver_block;
  const Index column = sliver * p.width, columns = b.lines - column < slivers * p.width ? b.lines - column : slivers * p.width;
  const Index rows_filled = round_up(rows, p.rows_whole);
  c += row * ldc + column;

  // A stays in place if it is made of the tile's units already, and nothing is read behind its end.
  const bool a_in_place = (std::is_same_v<T, U> || D == 2) && a.k_stride == 1 && a.depth % (p.tiles ? 32 : D) == 0 && rows == rows_filled;
  const bool b_by_slivers = !p.pack_ahead && !p.tiles && b.k_stride == 1;  // each is multiplied while in the first-level cache
  const bool only_stored = o.alpha == 1 && !o.bias && o.activation == Activation::none && !o.pre_activation;
  const bool plain = std::is_same_v<A, Out> && only_stored, rounds = std::is_same_v<U, Pair> && std::is_same_v<Out, bf16> && !p.tiles && only_stored && !o.accumulate;

  // A group of slivers meets `step` rows before the epilogue takes their sums from a scratch that the first-level cache holds.
  const Index step = p.tiles ? 32 : rows, group = p.tiles ? 2 : 1;
  const Index pack_stride = round_up(p.unit_block, 16);
  const Index pack_bytes = a_in_place ? 0 : round_up(round_up(rows_filled, kPanel<64>) * (pack_stride + 1) * Index(sizeof(U)), 64);
  const Index b_bytes = p.pack_ahead ? 0 : p.unit_block * (b_by_slivers ? 1 : slivers) * p.width * Index(sizeof(U));
  const Index last_stride = group * p.width, last_bytes = round_up(step, p.rows_whole) * last_stride * Index(sizeof(A));
  const Index sums_stride = slivers * p.width, sums_bytes = p.units > p.unit_block ? rows_filled * sums_stride * Index(sizeof(A)) : 0;
  struct Block;
  char* const memory = static_cast<char*>(gemm_scratch<Block>(pack_bytes + b_bytes + last_bytes + sums_bytes));
  U* const a_packed = reinterpret_cast<U*>(memory);
  U* const b_packed = reinterpret_cast<U*>(memory + pack_bytes);
  A* const last = reinterpret_cast<A*>(memory + pack_bytes + b_bytes);
  A* const sums = reinterpret_cast<A*>(memory + pack_bytes + b_bytes + last_bytes);

  for (Index u = 0; u < p.units; u += p.unit_block) {
    const Index units = p.units - u < p.unit_block ? p.units - u : p.unit_block;
    const Index units_filled = p.tiles ? round_up(units, 16) : units;
    LeftRows left{reinterpret_cast<const char*>(a.data + row * a.line_stride + u * D), a.line_stride * Index(sizeof(T)), p.a_panels};
    if (!a_in_place) {
      left = {reinterpret_cast<const char*>(a_packed), pack_stride * Index(sizeof(U)), p.a_panels};
      if (p.a_panels) dispatch<PackPanels<T, U>>(a, row, rows, u, units, a_packed);
      else dispatch<PackRows<T, U>>(a, row, rows, p.rows_whole, u, units, a_packed, pack_stride);
    }
    const U* right = b_packed;
    if (p.pack_ahead) right = packed + u * p.slivers * p.width + sliver * p.width * units_filled;
    else if (!b_by_slivers) dispatch<PackSlivers<T, U>>(b, column, slivers * p.width, u, units_filled, b_packed);

    const bool is_last = u + p.unit_block >= p.units;
    Ahead ahead = p.fetches ? what_is_next<T, U>(p, a, b, packed, row, sliver, u, units) : Ahead{};
    for (Index i = 0; i < rows_filled; i += step) {
      for (Index j = 0; j < slivers; j += group) {
        const Index count = slivers - j < group ? slivers - j : group, at = j * p.width;
        const Index columns_here = columns - at < count * p.width ? columns - at : count * p.width;
        const Index rows_here = rows - i < step ? rows - i : step;
        const bool whole = columns_here == count * p.width && (!p.tiles || rows_here == step), in_place = plain && whole, rounded = rounds && whole && is_last;
        Sums<A> s{sums + i * sums_stride + at, sums_stride, sums + i * sums_stride + at, sums_stride};
        if (in_place) s = {reinterpret_cast<A*>(c + i * ldc + at), ldc, reinterpret_cast<A*>(c + i * ldc + at), ldc};
        else if (is_last) s.to = last, s.to_stride = last_stride;
        if constexpr (std::is_same_v<Out, bf16>)
          if (rounded) s.rounded = c + i * ldc + at, s.rounded_stride = ldc;
        if (u == 0 && !(in_place && o.accumulate)) s.from = begin ? begin + column + at : nullptr, s.from_stride = 0;

        const U* const here = right + (b_by_slivers ? 0 : at * units_filled);
        if (b_by_slivers) dispatch<PackSlivers<T, U>>(b, column + at, Index(p.width), u, units, b_packed);
        if constexpr (std::is_same_v<U, Pair>) {
#if defined(__x86_64__)
          if (p.tiles) {
            ahead.to = is_last && rows_here == step ? reinterpret_cast<const char*>(c + i * ldc + at) : nullptr;
            ahead.to_stride = ldc * Index(sizeof(Out));
            amx_strip(count, units_filled, left.data + i * left.stride, left.stride, here, s.from, s.from_stride, s.to, s.to_stride, p.fetches ? &ahead : nullptr);
          } else {
            dot_block(rows, units, left, here, s, &ahead);
          }
#endif
        } else {
          dispatch<FmaBlock<U>>(rows, units, left, here, 2 * columns_here <= p.width, s, &ahead);
        }
        if (in_place || rounded || !is_last) continue;
        GemmOptions<Out> end = o;
        if (o.bias) end.bias += column + at;
        if (o.pre_activation) end.pre_activation += (row + i) * ldc + column + at;
        constexpr bool has_bf16 = std::is_same_v<U, Pair> && std::is_same_v<Out, bf16>;
        dispatch<GemmEpilogue<A, Out, has_bf16>>(rows_here, columns_here, static_cast<const A*>(last), last_stride,
                                                 c + i * ldc + at, ldc, end);
      }
    }
  }
}

/// All slivers of B, block of k by block of k.
template <class T, class U>
const U* pack_all(const GemmPlan& p, const Operand<T>& b) {
  const Index whole_units = p.tiles ? 16 : 1;
  struct Slivers;
  U* const packed = static_cast<U*>(gemm_scratch<Slivers>(round_up(p.units, whole_units) * p.slivers * p.width * Index(sizeof(U))));
  for (Index u = 0; u < p.units; u += p.unit_block) {
    const Index units = round_up(p.units - u < p.unit_block ? p.units - u : p.unit_block, whole_units);
    U* const to = packed + u * p.slivers * p.width;
    parallel_for(p.slivers, 0.3 * double(units * p.width), [&](Range r) {
      dispatch<PackSlivers<T, U>>(b, r.begin * p.width, r.size() * p.width, u, units, to + r.begin * p.width * units);
    });
  }
  return packed;
}

template <class T, class U, class Out>
void gemm_in_units(const Operand<T>& a, const Operand<T>& b, Out* c, Index ldc, GemmOptions<Out> o) {
  const double flop_ns = 2.0 * double(a.lines) * double(b.lines) * double(a.depth) / 60;
  const Index workers = fg::detail::Pool::inside() || flop_ns < kSerialWork ? 1 : threads();
  const GemmPlan p = gemm_plan<T, U>(a, b, workers);
  const U* packed = p.pack_ahead ? pack_all<T, U>(p, b) : nullptr;
  // Sums begin at the bias where the epilogue then has nothing left to do.
  using A = accum_t<T>;
  const A* begin = nullptr;
  if (o.bias && o.alpha == 1 && !o.accumulate && !p.tiles) {
    if constexpr (std::is_same_v<A, Out>) begin = o.bias;
    if (!begin || b.lines % p.width != 0) {  // a tile reads whole vectors
      struct Bias;
      A* const numbers = static_cast<A*>(gemm_scratch<Bias>(p.slivers * p.width * Index(sizeof(A))));
      for (Index j = 0; j < p.slivers * p.width; ++j) numbers[j] = j < b.lines ? A(o.bias[j]) : A(0);
      begin = numbers;
    }
    o.bias = nullptr;
  }
  const Index across = ceil_div(p.slivers, p.sliver_block), down = ceil_div(a.lines, p.row_block);
  const Index blocks = across * down;
  const bool strips = p.tiles && a.k_stride == 1 && p.units <= p.unit_block;  // rows are met once: what is next is the next tile's
  parallel_for(blocks, flop_ns / double(blocks), [&](Range r) {
#if defined(__x86_64__)
    if (p.tiles) amx_begin();
#endif
    for (Index i = r.begin; i < r.end; ++i) {
      Operand<T> here = a;
      if (!here.ahead) here.ahead = (strips ? p.rows_tile : i + 1 < r.end && (i + 1) % down ? p.row_block : 0) * a.line_stride;
      gemm_block<T, U>(p, here, b, packed, i % down * p.row_block, i / down * p.sliver_block, begin, c, ldc, o);
    }
#if defined(__x86_64__)
    if (p.tiles) amx_end();
#endif
  }, 1, 16);  // few at a time, so that all threads end together
}

/// C by rows, ldc apart, of operands that may lie anywhere.
template <class T, class Out>
void gemm_of(const Operand<T>& a, const Operand<T>& b, Out* c, Index ldc, const GemmOptions<Out>& o) {
  if (a.lines <= 0 || b.lines <= 0) return;
  if (a.depth <= 0) {  // an empty sum is zero, and still gets its epilogue
    const std::unique_ptr<accum_t<T>[]> zeros(new accum_t<T>[std::size_t(b.lines)]());
    return dispatch<GemmEpilogue<accum_t<T>, Out>>(a.lines, b.lines, static_cast<const accum_t<T>*>(zeros.get()), Index(0), c, ldc, o);
  }
  if constexpr (std::is_same_v<T, bf16>) {
    if (isa() >= Isa::avx512_bf16) return gemm_in_units<T, Pair>(a, b, c, ldc, o);
  }
  gemm_in_units<T, accum_t<T>>(a, b, c, ldc, o);
}

}  // namespace detail

/// C[m,n] (+)= alpha·Σ_k A[m,k]·B[k,n]: A[i,k] = a[i·a_row + k·a_col], B[k,j] = b[k·b_row + j·b_col], C by rows, ldc apart.
/// Sums in float for bf16 and half. C overlaps neither A nor B.
template <class T, class Out = T>
void gemm(Index m, Index n, Index k, const T* a, Index a_row, Index a_col, const T* b, Index b_row, Index b_col, Out* c, Index ldc,
          const GemmOptions<Out>& o = {}) {
  detail::gemm_of<T, Out>({a, m, k, a_row, a_col}, {b, n, k, b_col, b_row}, c, ldc, o);
}

/// `batch` products, the operands a_batch, b_batch and c_batch apart. Bias is shared; pre_activation moves with C.
template <class T, class Out = T>
void gemm_batched(Index batch, Index m, Index n, Index k, const T* a, Index a_batch, Index a_row, Index a_col, const T* b, Index b_batch,
                  Index b_row, Index b_col, Out* c, Index c_batch, Index ldc, const GemmOptions<Out>& o = {}) {
  const auto product = [&](Index i) {
    GemmOptions<Out> here = o;
    if (o.pre_activation) here.pre_activation += i * c_batch;
    const bool last = i + 1 == batch;
    detail::gemm_of<T, Out>({a + i * a_batch, m, k, a_row, a_col, last ? 0 : a_batch}, {b + i * b_batch, n, k, b_col, b_row, last ? 0 : b_batch}, c + i * c_batch, ldc, here);
  };
  const double flops = 2.0 * double(m) * double(n) * double(k);
  if (batch < 2 * threads() || flops > 5e8) {  // few or large: each is spread over the threads
    for (Index i = 0; i < batch; ++i) product(i);
    return;
  }
  parallel_for(batch, flops / 40, [&](Range r) {
    for (Index i = r.begin; i < r.end; ++i) product(i);
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
