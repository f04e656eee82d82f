#!/usr/bin/env bash
# An include never points to a folder further down the map than its own. Files of over 300 lines (models: 450) are named, and no failure.
set -uo pipefail
cd "$(dirname "$0")/../.."
order=(core cpu cuda autograd op.hpp ops nn diffusion optim io text data dist metrics models)
declare -A place
for i in "${!order[@]}"; do place[${order[i]}]=$i; done

failed=0 count=0
while IFS=: read -r file _ include; do
  count=$((count + 1))
  from=${file#include/framegrad/}
  from=${from%%/*}
  target=$(sed -nE 's/^ *# *include *["<]framegrad\/([^/>"]+).*/\1/p' <<<"$include")
  if [ -z "$target" ]; then
    echo "$file: headers include by <framegrad/...>: $include"
    failed=1
  elif [ -z "${place[$from]:-}" ] || [ -z "${place[$target]:-}" ]; then
    echo "$file: $from or $target is not in the map"
    failed=1
  elif [ "${place[$target]}" -gt "${place[$from]}" ]; then
    echo "$file: $from includes $target, which is further down"
    failed=1
  fi
done < <(grep -rnE '^ *# *include *("|<framegrad/)' include/framegrad models --include=*.hpp | grep -v '^include/framegrad/\(framegrad.hpp\|models/\)')
echo "$count includes looked at"

while read -r lines file; do
  most=300
  case $file in models/*) most=450 ;; esac
  [ "$lines" -le "$most" ] || echo "long: $file has $lines lines"
done < <(find include/framegrad models -name '*.hpp' ! -name framegrad.hpp -exec wc -l {} + | awk '$2 != "total" { print $1, $2 }')
[ "$count" -gt 0 ] && [ "$failed" -eq 0 ]
