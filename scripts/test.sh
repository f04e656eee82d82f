#!/usr/bin/env bash
# Installs what is missing, builds everything, runs all tests.
#   scripts/test.sh                  the tests
#   scripts/test.sh --sanitize       then the core's tests again under AddressSanitizer and UndefinedBehaviorSanitizer
#   scripts/test.sh --full           the tests, then each of these, which also run by themselves:
#   scripts/test.sh --sanitize-all   all of the ops and the core under the sanitizers
#   scripts/test.sh --detectors      all kernels, on the CPU, under the detectors of cuda/simt
#   scripts/test.sh --architectures  all kernels built for sm_80 and sm_90, where nvcc is
#   scripts/test.sh --clang          each header with clang++, where that is
# BUILD (build) is the folder built in, JOBS (the number of processors) how much runs at once.
set -euo pipefail
cd "$(dirname "$0")/.."
parts=""
for argument in "$@"; do
  case $argument in
    --sanitize) parts+=" tests sanitize" ;;
    --full) parts+=" tests sanitize-all detectors architectures clang" ;;
    --sanitize-all | --detectors | --architectures | --clang) parts+=" ${argument#--}" ;;
    *)
      sed -n '2,10s/^# \{0,1\}//p' "$0"
      [ "$argument" = --help ] && exit 0 || exit 2
      ;;
  esac
done
runs() { [[ " ${parts:-tests} " == *" $1 "* ]]; }
build=${BUILD:-build} jobs=${JOBS:-$(nproc)}
summary=()
failed=no
step() {  # step NAME COMMAND…: runs it, notes how it went and how long it took; later steps run all the same
  local name=$1 start=$SECONDS result=passed
  shift
  echo "== $name"
  "$@" || { result=FAILED failed=yes; }
  summary+=("$(printf '%-34s %-7s %5d s' "$name" "$result" $((SECONDS - start)))")
}

scripts/setup.sh tests
configure() { cmake -S . -B "$1" -G Ninja "${@:2}"; }
run_tests() { ctest --test-dir "$1" --output-on-failure --timeout 900 -j "$jobs" "${@:2}"; }

if runs tests; then
  step "configure" configure "$build"
  step "build" ninja -C "$build" -k 0 -j "$jobs"
  step "tests" run_tests "$build"
fi

if runs sanitize || runs sanitize-all; then
  # The ops whose kernels compute most addresses, vectors' arithmetic, what counts references, and what reads files of strangers. Without optimisation: at -O1 the
  # checks make a file of kernels compile for minutes.
  targets=(ops_matmul ops_attention ops_conv ops_gather cpu_simd_test tensor_test autograd_test allocator_test einops_test npy_test safetensors_test)
  configure_sanitized() {
    configure "$build/sanitized" -DFRAMEGRAD_SANITIZE=address,undefined -DFRAMEGRAD_COMPILED=OFF -DFRAMEGRAD_CUDA=OFF -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-g1 \
      -DFRAMEGRAD_BENCH=OFF -DFRAMEGRAD_EXAMPLES=OFF -DFRAMEGRAD_CLI=OFF
  }
  step "configure, sanitized" configure_sanitized
  known=$(ninja -C "$build/sanitized" -t targets all | sed -nE 's/^([a-z0-9_]+): phony$/\1/p')
  ! runs sanitize-all || targets=($(grep -E '^ops_|_test$' <<<"$known" | grep -v ^cmake_))
  targets=($(printf '%s\n' "${targets[@]}" | grep -Fxf <(echo "$known")))
  step "build, sanitized" ninja -C "$build/sanitized" -k 0 -j "$jobs" "${targets[@]}"
  # A request for more memory than there is must be refused by us, not end the program.
  ASAN_OPTIONS=allocator_may_return_null=1 step "tests, sanitized" run_tests "$build/sanitized" -R "^($(IFS='|' && echo "${targets[*]}"))\$"
fi

if runs detectors; then
  # Every kernel's accesses judged while its op's cases and the models run. A clang++ before 15 misses copied structs: g++.
  step "configure, detectors" configure "$build/detectors" -DCMAKE_CXX_COMPILER=g++ -DFRAMEGRAD_DETECTORS=ON -DFRAMEGRAD_CUDA=OFF -DFRAMEGRAD_BENCH=OFF \
    -DFRAMEGRAD_EXAMPLES=OFF -DFRAMEGRAD_CLI=OFF
  models=$(cd tests/device && ls *_test.cpp | sed 's/\.cpp$//' | paste -sd'|')
  targets=($(ninja -C "$build/detectors" -t targets all | sed -nE 's/^([a-z0-9_]+): phony$/\1/p' | grep -E "^(ops_.*|simt_.*|static_exit|$models)$"))
  step "build, detectors" ninja -C "$build/detectors" -k 0 -j "$jobs" "${targets[@]}"
  step "tests, detectors" run_tests "$build/detectors" -L simt
fi

if runs architectures; then
  if command -v nvcc >/dev/null; then
    step "configure, sm_80 and sm_90" configure "$build/both" -DFRAMEGRAD_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=80-real;90-real" -DFRAMEGRAD_TESTS=OFF -DFRAMEGRAD_BENCH=OFF \
      -DFRAMEGRAD_EXAMPLES=OFF -DFRAMEGRAD_CLI=OFF
    step "build, sm_80 and sm_90" ninja -C "$build/both" -k 0 -j "$jobs" framegrad_cuda
    step "spills, sm_80 and sm_90" tests/cuda/resources.sh "$build/both/cuda" tests/cuda/resources.txt --spills
  else
    summary+=("kernels for sm_80 and sm_90           skipped: no nvcc")
  fi
fi

if runs clang; then
  if command -v clang++ >/dev/null; then
    step "configure, clang" configure "$build/clang" -DCMAKE_CXX_COMPILER=clang++ -DFRAMEGRAD_CUDA=OFF -DFRAMEGRAD_BENCH=OFF
    step "headers, clang" run_tests "$build/clang" -R '^headers_(alone|refuse)'
  else
    summary+=("headers, clang                     skipped: no clang++")
  fi
fi

echo
printf '%s\n' "${summary[@]}"
[ $failed = no ] && echo "everything passed" || { echo "something failed"; exit 1; }
