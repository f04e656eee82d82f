#!/usr/bin/env bash
# Builds and runs the checks of one file of tests/cases, without CMake: scripts/op_test.sh layer_norm [arguments of GoogleTest]
# With KERNELS="layer_norm sum" (files of cuda/; "all" for all) also on those kernels, run on the CPU: the checks named Device.
set -euo pipefail
cd "$(dirname "$0")/.."
stem=$1
shift
out=${FRAMEGRAD_BUILD:-build}/op_test
compile=(${CXX:-g++} -std=c++20 -O2 -Wall -Wextra ${CXXFLAGS:-} -Iinclude -Itests)
command -v ccache >/dev/null && compile=(ccache "${compile[@]}")
kernels=()
if [ -n "${KERNELS:-}" ]; then
  out+=_simt
  compile+=(-I. -DFRAMEGRAD_WITH_CUDA=2 -Wno-unknown-pragmas)
  mkdir -p "$out"
  [ "$KERNELS" != all ] || KERNELS=$(ls cuda/*.cu | sed 's|.*/||; s|\.cu$||')
  for name in runtime copy sort sum $KERNELS; do
    source=cuda/$name.cu
    [ ! -f cuda/simt/$name.cpp ] || source=cuda/simt/$name.cpp
    "${compile[@]}" -x c++ -c "$source" -o "$out/cuda_$name.o"
    kernels+=("$out/cuda_$name.o")
  done
  kernels=($(printf '%s\n' "${kernels[@]}" | sort -u))
fi
mkdir -p "$out"
names=$(sed -n 's/^struct \([A-Za-z0-9]*Case\) .*/\1/p' "tests/cases/$stem.hpp" | paste -sd,)
"${compile[@]}" -c tests/ops.cpp -o "$out/ops.o"
"${compile[@]}" "-DFRAMEGRAD_CASE_FILE=\"cases/$stem.hpp\"" "-DFRAMEGRAD_CASES=$names" -c tests/op_one.cpp -o "$out/$stem.o"
${CXX:-g++} ${CXXFLAGS:-} "$out/ops.o" "$out/$stem.o" "${kernels[@]}" -lgtest -pthread -o "$out/ops_$stem"
"$out/ops_$stem" "$@"
