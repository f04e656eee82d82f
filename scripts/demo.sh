#!/usr/bin/env bash
# A film from a sentence, from nothing: installs what is missing, builds the program, samples.
#   scripts/demo.sh ["a large red circle moves left"]
# The film and its contact sheet land in demo/. BUILD (build) is the folder built in.
set -euo pipefail
cd "$(dirname "$0")/.."
prompt=${1:-a large red circle moves left}
build=${BUILD:-build}

scripts/setup.sh program
cmake -S . -B "$build" -G Ninja -DFRAMEGRAD_TESTS=OFF -DFRAMEGRAD_BENCH=OFF -DFRAMEGRAD_EXAMPLES=OFF >/dev/null
echo "building the program (some minutes the first time)"
ninja -C "$build" framegrad_cli
"$build/framegrad" sample --run assets/moving_shapes --prompt "$prompt" --out demo
ls -l demo
