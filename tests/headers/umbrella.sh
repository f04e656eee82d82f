#!/usr/bin/env bash
# include/framegrad/framegrad.hpp is what its generator writes.
set -uo pipefail
cd "$(dirname "$0")/../.."
if ! diff include/framegrad/framegrad.hpp <(scripts/umbrella.sh); then
  echo "out of date: run scripts/umbrella.sh --write"
  exit 1
fi
