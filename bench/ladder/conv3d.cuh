// The ladder of conv3d, from a thread an output to a product of matrices on tensor cores: docs/ladder.md walks up.
#pragma once

#include "bench/ladder/conv3d/01_thread_an_output.cuh"
#include "bench/ladder/conv3d/02_shared_cells.cuh"
#include "bench/ladder/conv3d/03_implicit_gemm.cuh"
#include "bench/ladder/conv3d/04_padding_copies.cuh"
#include "bench/ladder/conv3d/05_tensor_cores.cuh"

namespace ladder {

inline constexpr Rung<Conv3d> kConv3dRungs[] = {
    {"01_thread_an_output", conv3d::thread_an_output::run},
    {"02_shared_cells", conv3d::shared_cells::run},
    {"03_implicit_gemm", conv3d::implicit_gemm::run},
    {"04_padding_copies", conv3d::padding_copies::run},
    {"05_tensor_cores", conv3d::tensor_cores::run, true},
};

}  // namespace ladder
