// The ladder of matrix products, from a thread an element to tensor cores: docs/ladder.md walks up.
#pragma once

#include "bench/ladder/gemm/01_thread_an_element.cuh"
#include "bench/ladder/gemm/02_neighbours_in_memory.cuh"
#include "bench/ladder/gemm/03_shared_tiles.cuh"
#include "bench/ladder/gemm/04_register_tiles.cuh"
#include "bench/ladder/gemm/05_no_bank_conflicts.cuh"
#include "bench/ladder/gemm/06_sixteen_bytes.cuh"
#include "bench/ladder/gemm/07_copies_in_flight.cuh"
#include "bench/ladder/gemm/08_tensor_cores.cuh"

namespace ladder {

inline constexpr Rung<Gemm> kGemmRungs[] = {
    {"01_thread_an_element", gemm::thread_an_element::run},
    {"02_neighbours_in_memory", gemm::neighbours_in_memory::run},
    {"03_shared_tiles", gemm::shared_tiles::run},
    {"04_register_tiles", gemm::register_tiles::run},
    {"05_no_bank_conflicts", gemm::no_bank_conflicts::run},
    {"06_sixteen_bytes", gemm::sixteen_bytes::run},
    {"07_copies_in_flight", gemm::copies_in_flight::run},
    {"08_tensor_cores", gemm::tensor_cores::run, true},
};

}  // namespace ladder
