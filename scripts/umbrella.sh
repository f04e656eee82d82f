#!/usr/bin/env bash
# Prints include/framegrad/framegrad.hpp: every public header that needs no further library, by folder in the order of the map.
#   scripts/umbrella.sh            to standard output
#   scripts/umbrella.sh --write    into the file
# Left out: what reaches nlohmann-json or FFmpeg, models (included one by one), and cpu/, cuda/ and ops/formula/ (reached through the ops).
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --write ]; then
  "$0" >include/framegrad/framegrad.hpp.part
  mv include/framegrad/framegrad.hpp.part include/framegrad/framegrad.hpp
  exit
fi

declare -A verdict  # header → yes or no: does it, or what it includes, need a further library?
needs_library() {
  local header=$1 next
  if [ -z "${verdict[$header]:-}" ]; then
    verdict[$header]=no
    if grep -qE '^ *# *include *<(nlohmann|libav|libsw)' "include/$header"; then
      verdict[$header]=yes
    else
      for next in $(sed -nE 's/^ *# *include *<(framegrad\/[^>]+)>.*/\1/p' "include/$header"); do
        if needs_library "$next"; then verdict[$header]=yes; fi
      done
    fi
  fi
  [ "${verdict[$header]}" = yes ]
}

echo "// Everything that needs no further library, in one include. Written by scripts/umbrella.sh; a test compares the two."
echo "#pragma once"
echo
for part in core autograd op.hpp ops nn diffusion optim io text data dist metrics; do
  [ -e "include/framegrad/$part" ] || continue
  while read -r header; do
    needs_library "$header" || echo "#include <$header>"
  done < <(cd include && find "framegrad/$part" -maxdepth 1 -name '*.hpp' | LC_ALL=C sort)
done
