#!/usr/bin/env bash
# include_path.sh HEADERS SOURCE PROGRAM: what someone without CMake does.
set -euo pipefail
${CXX:-c++} -std=c++20 -I "$1" "$2" -o "$3" -pthread
"$3"
