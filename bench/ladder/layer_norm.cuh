// The ladder of layer_norm, from a thread a row to rows in registers: docs/ladder.md walks up.
#pragma once

#include "bench/ladder/layer_norm/01_thread_a_row.cuh"
#include "bench/ladder/layer_norm/02_block_a_row.cuh"
#include "bench/ladder/layer_norm/03_warp_a_row.cuh"
#include "bench/ladder/layer_norm/04_row_in_registers.cuh"
#include "bench/ladder/layer_norm/05_sixteen_bytes.cuh"

namespace ladder {

inline constexpr Rung<LayerNorm> kLayerNormRungs[] = {
    {"01_thread_a_row", layer_norm::thread_a_row::run},
    {"02_block_a_row", layer_norm::block_a_row::run},
    {"03_warp_a_row", layer_norm::warp_a_row::run},
    {"04_row_in_registers", layer_norm::row_in_registers::run},
    {"05_sixteen_bytes", layer_norm::sixteen_bytes::run},
};

}  // namespace ladder
