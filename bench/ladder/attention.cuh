// The ladder of attention, from three passes to tensor cores: docs/ladder.md walks up.
#pragma once

#include "bench/ladder/attention/01_three_passes.cuh"
#include "bench/ladder/attention/02_online_softmax.cuh"
#include "bench/ladder/attention/03_shared_keys.cuh"
#include "bench/ladder/attention/04_two_products.cuh"
#include "bench/ladder/attention/05_tensor_cores.cuh"

namespace ladder {

inline constexpr Rung<Attention> kAttentionRungs[] = {
    {"01_three_passes", attention::three_passes::run},
    {"02_online_softmax", attention::online_softmax::run},
    {"03_shared_keys", attention::shared_keys::run},
    {"04_two_products", attention::two_products::run},
    {"05_tensor_cores", attention::tensor_cores::run, true},
};

}  // namespace ladder
