// How gemm cuts a product: the lengths of its blocks, and what is fetched while each is multiplied.
#pragma once

#include <algorithm>

#include <framegrad/cpu/features.hpp>
#include <framegrad/cpu/gemm_pack.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu::detail {

/// How a product is cut. Lengths in lines and units.
struct GemmPlan {
  Isa isa;
  bool tiles;              // AMX
  bool a_panels;           // A comes by memory contiguous across its rows
  int width;               // columns of a sliver
  Index rows_whole;        // rows come in multiples of it
  Index rows_tile;         // of a register tile
  Index units, unit_block; // of k
  Index row_block, slivers, sliver_block;
  bool pack_ahead;         // all of B, before the blocks begin
  bool fetches;            // what is next, while tiles multiply
};

/// For as many threads as share the product.
template <class T, class U>
GemmPlan gemm_plan(const Operand<T>& a, const Operand<T>& b, Index workers) {
  const Index m = a.lines, n = b.lines, k = a.depth;
  GemmPlan p;
  p.isa = isa();
  p.tiles = std::is_same_v<U, Pair> && p.isa == Isa::amx;
  p.a_panels = !p.tiles && a.line_stride == 1 && a.k_stride != 1;
  const int bytes = p.isa >= Isa::avx512 ? 64 : p.isa == Isa::avx2 ? 32 : 16;
  p.width = 2 * bytes / int(sizeof(U));
  p.rows_whole = p.tiles ? 32 : 1;
  p.units = ceil_div(k, kUnitDepth<U>);
  const Index whole_units = p.tiles ? 16 : 1;
  p.slivers = ceil_div(n, p.width);
  p.rows_tile = p.tiles ? 32 : bytes == 64 ? 12 : bytes == 32 ? 6 : 4;
  // Blocks whose sums, slivers and rows stay in a second-level cache of 1 MiB, the next ones' beside them; wider where rows must be packed, which
  // is then done less often. Numbers of eight bytes take half of each side.
  const Index narrow = sizeof(accum_t<T>) == 8 ? 2 : 1;
  const bool deep = p.tiles && p.units > 576;
  const Index wide = (p.a_panels && m > 400 ? 1152 : deep ? 576 : 384) / narrow / p.width;
  p.sliver_block = p.slivers < wide ? p.slivers : wide;
  // Rows in one block if they are few. B is packed once for all if more than two blocks of rows meet it, else by each for itself.
  p.row_block = round_up(m > 400 ? 192 / narrow : m, p.rows_tile);
  const Index columns = ceil_div(p.slivers, p.sliver_block);
  // Where packing B ahead would send it to memory and back, two blocks of rows at most, which each pack their own.
  const bool streams = !p.tiles && m <= 400 && k * n * Index(sizeof(T)) > (Index(8) << 20) && workers <= 2 * columns;
  const Index wanted = workers > 1 ? (streams ? workers : 2 * workers) : 1;
  if (ceil_div(m, p.row_block) * columns < wanted) {
    p.row_block = round_up(ceil_div(m, ceil_div(wanted, columns)), p.rows_tile);
    if (p.row_block < 2 * p.rows_tile) p.row_block = 2 * p.rows_tile;
  }
  p.pack_ahead = ceil_div(m, p.row_block) > 2;
  p.fetches = !p.tiles || p.units > 64;  // the few steps of a shorter sum on tiles take no longer than fetching does
  // A sum of at most 576 units is one block for tiles: its sums never leave them. Else a sliver and a tile's rows share the first level's 48 KiB,
  // and sums wait in the second. By FMA a sliver takes half of the first level; twice that where each block packs its own, to read longer runs, and
  // where AVX512-BF16 stands without tiles (Zen 4 gains 2 to 5 %). Sums of pairs wait in a scratch, passed over less often.
  const Index most_units = p.tiles ? (deep && p.pack_ahead ? 144 : 576)
                           : bytes < 64 ? 32768 / (2 * bytes)
                           : std::is_same_v<U, Pair> ? 576 : !p.pack_ahead || p.isa == Isa::avx512_bf16 ? 384 : 192;
  const Index blocks = ceil_div(p.units, most_units);
  p.unit_block = blocks > 1 ? round_up(ceil_div(p.units, blocks), 16) : round_up(p.units, whole_units);
  return p;
}

/// Lines [line, line + lines) of x, `depth` numbers from k on, as they lie in memory.
template <class T>
AheadRows rows_of(const Operand<T>& x, Index line, Index lines, Index k, Index depth) {
  depth = x.depth - k < depth ? x.depth - k : depth;
  const char* const data = reinterpret_cast<const char*>(x.data + line * x.line_stride + k * x.k_stride);
  constexpr Index size = sizeof(T);
  const bool along_k = x.k_stride == 1;
  AheadRows r;
  r.data = data;
  r.rows = along_k ? lines : x.line_stride == 1 ? depth : 0;  // scattered numbers are left alone
  r.bytes = (along_k ? depth : lines) * size;
  r.stride = (along_k ? x.line_stride : x.k_stride) * size;
  if (r.stride == r.bytes) r.bytes *= r.rows, r.rows = 1;
  return r;
}

/// What the block at (row, sliver) fetches while it multiplies units [u, u + units): its own next ones, or, with the last, the first ones of
/// what lies `ahead`, which meet the same slivers again if they are packed ahead.
template <class T, class U>
Ahead what_is_next(const GemmPlan& p, Operand<T> a, Operand<T> b, const U* packed, Index row, Index sliver, Index u, Index units) {
  constexpr int D = kUnitDepth<U>;
  const Index rows = a.lines - row < p.row_block ? a.lines - row : p.row_block;
  const Index slivers = p.slivers - sliver < p.sliver_block ? p.slivers - sliver : p.sliver_block, column = sliver * p.width;
  const bool is_last = u + units >= p.units;
  const Index next = is_last ? 0 : u + units, next_units = p.units - next < p.unit_block ? p.units - next : p.unit_block;
  if (is_last) a.data += a.ahead, b.data += b.ahead;
  Ahead ahead;
  if (!is_last || a.ahead) ahead.a = rows_of(a, row, rows, next * D, next_units * D);
  const bool again = a.ahead && !b.ahead && p.unit_block < p.units;
  if (p.pack_ahead && (!is_last || again)) {
    const Index filled = p.tiles ? round_up(next_units, 16) : next_units;
    ahead.b.data = reinterpret_cast<const char*>(packed + next * p.slivers * p.width + column * filled);
    ahead.b.rows = 1, ahead.b.bytes = slivers * p.width * filled * Index(sizeof(U));
  } else if (!is_last || b.ahead) {
    ahead.b = rows_of(b, column, b.lines - column < slivers * p.width ? b.lines - column : slivers * p.width, next * D, next_units * D);
  }
  const Index tiles = ceil_div(rows, p.rows_tile) * slivers;
  const Index lines = std::max(ahead.a.lines(), ahead.b.lines());
  while (!p.tiles && ahead.every > 4 && tiles * (units / ahead.every) < lines) ahead.every /= 2;
  ahead.spread(tiles, p.tiles ? round_up(units, 16) : units);
  return ahead;
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::detail
