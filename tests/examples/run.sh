#!/usr/bin/env bash
# run.sh PROGRAM EXPECTED: the program ends well, and each line of EXPECTED stands in what it prints, in that order.
set -uo pipefail
if ! output=$("$1"); then
  printf '%s\nended with an error\n' "$output"
  exit 1
fi
printf '%s\n' "$output"
[ -e "$2" ] || exit 0
awk -v expected="$2" '
  BEGIN { while ((getline line < expected) > 0) want[++n] = line; at = 1 }
  at <= n && $0 == want[at] { ++at }
  END { if (at <= n) print "not printed, or not in this place: " want[at]; exit at <= n }
' <<<"$output"
