#!/usr/bin/env bash
# readme.sh SOURCE BUILD: the first program in README.md compiles with the command written below it, and learns what it says it learns.
set -euo pipefail
mkdir -p "$2"
awk '/^```cpp$/ && !seen { inside = seen = 1; next } /^```$/ { inside = 0 } inside' "$1/README.md" >"$2/xor.cpp"
[ -s "$2/xor.cpp" ] || { echo "README.md has no program"; exit 1; }
${CXX:-g++} -std=c++20 -O2 -I"$1/include" "$2/xor.cpp" -o "$2/xor" -pthread
output=$("$2/xor")
echo "$output"
awk '{ exit !(NF == 4 && $1 < 0.1 && $2 > 0.9 && $3 > 0.9 && $4 < 0.1) }' <<<"$output"
