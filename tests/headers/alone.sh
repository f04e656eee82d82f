#!/usr/bin/env bash
# Compiles each header of a list alone, included twice: alone.sh LIST PART PARTS takes every PARTS-th line from PART on.
# The compiler and its flags come in COMPILE.
set -uo pipefail
failed=0 count=0
while read -r header; do
  count=$((count + 1))
  if ! printf '#include <%s>\n#include <%s>\n' "$header" "$header" | $COMPILE -fsyntax-only -x c++ -; then
    echo "does not compile alone: $header"
    failed=$((failed + 1))
  fi
done < <(awk -v part="$2" -v parts="$3" 'NF && NR % parts == part' "$1")
echo "$count headers compiled alone, $failed failed"
[ "$count" -gt 0 ] && [ "$failed" -eq 0 ]
