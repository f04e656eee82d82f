#!/usr/bin/env bash
# Four macros leave the headers, and no others.
set -uo pipefail
cd "$(dirname "$0")/../.."
allowed=" FRAMEGRAD_ABI FRAMEGRAD_INLINE FRAMEGRAD_LAMBDA FRAMEGRAD_WITH_CUDA "
failed=0 count=0
while read -r name; do
  count=$((count + 1))
  case $allowed in
    *" $name "*) ;;
    *) echo "one macro too many: $name" && failed=1 ;;
  esac
done < <(grep -rhoE '^ *# *define +[A-Za-z_0-9]+' include/framegrad models --include=*.hpp | awk '{ print $NF }' | sort -u)
[ "$count" -gt 0 ] && [ "$failed" -eq 0 ]
