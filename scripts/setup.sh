#!/usr/bin/env bash
# Installs what is missing with apt (Debian, Ubuntu): setup.sh [program|tests]. Elsewhere it names what is needed, and what of it isn't there.
#   program   a compiler, CMake, Ninja, CLI11, Eigen, nlohmann-json, FFmpeg's libraries
#   tests     these, GoogleTest, Google Benchmark and gdb
set -euo pipefail
what=${1:-program}
packages=(g++ cmake ninja-build ccache pkg-config libeigen3-dev nlohmann-json3-dev libcli11-dev
  libavformat-dev libavcodec-dev libavutil-dev libswscale-dev)
[ "$what" = program ] || packages+=(libgtest-dev libbenchmark-dev gdb binutils)

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "No apt here. These are needed (names of Debian's packages): ${packages[*]}"
  for tool in c++ cmake ninja; do
    command -v "$tool" >/dev/null || { echo "missing: $tool"; exit 1; }
  done
  echo "The tools are there; CMake will say which libraries are not (or -DFRAMEGRAD_FETCH=ON brings them)."
  exit
fi

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "Missing: ${missing[*]}. Install them as root, then run this again."; exit 1; }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
