#!/usr/bin/env bash
# Builds and runs the checks of one file of tests/cases, without CMake: scripts/op_test.sh layer_norm [arguments of GoogleTest]
set -euo pipefail
cd "$(dirname "$0")/.."
stem=$1
shift
out=${FRAMEGRAD_BUILD:-build}/op_test
mkdir -p "$out"
names=$(sed -n 's/^struct \([A-Za-z0-9]*Case\) .*/\1/p' "tests/cases/$stem.hpp" | paste -sd,)
compile=(${CXX:-g++} -std=c++20 -O2 -Wall -Wextra ${CXXFLAGS:-} -Iinclude -Itests)
command -v ccache >/dev/null && compile=(ccache "${compile[@]}")
"${compile[@]}" -c tests/ops.cpp -o "$out/ops.o"
"${compile[@]}" "-DFRAMEGRAD_CASE_FILE=\"cases/$stem.hpp\"" "-DFRAMEGRAD_CASES=$names" -c tests/op_one.cpp -o "$out/$stem.o"
${CXX:-g++} ${CXXFLAGS:-} "$out/ops.o" "$out/$stem.o" -lgtest -pthread -o "$out/ops_$stem"
"$out/ops_$stem" "$@"
