#!/usr/bin/env bash
# Twenty lines over the umbrella at -O2 compile in at most 2.5 times what twenty lines of Eigen take. Processor seconds, alternating, the least
# of up to three each if the first don't show it: what else the machine does weighs on either. The compiler and its flags come in COMPILE.
set -uo pipefail
cd "$(dirname "$0")"
most=2.5
if ! echo '#include <Eigen/Dense>' | $COMPILE -fsyntax-only -x c++ - 2>/dev/null; then
  echo "skipped: Eigen is missing (libeigen3-dev)"
  exit 77
fi
seconds() {  # of the processor, user and system
  local times
  times=$( { TIMEFORMAT='%U %S'; time $COMPILE -O2 -c "$1" -o /dev/null; } 2>&1 ) || { head -20 <<<"$times" >&2; return 1; }
  awk 'END { print $1 + $2 }' <<<"$times"
}
ours=999 eigen=999
for _ in 1 2 3; do
  a=$(seconds compile_time_framegrad.cpp) && b=$(seconds compile_time_eigen.cpp) || { echo "a program does not compile"; exit 1; }
  ours=$(awk -v a="$a" -v b="$ours" 'BEGIN { print a < b ? a : b }')
  eigen=$(awk -v a="$b" -v b="$eigen" 'BEGIN { print a < b ? a : b }')
  awk -v a="$ours" -v b="$eigen" -v most="$most" 'BEGIN {
    printf "framegrad %.2f s, Eigen %.2f s: ratio %.2f, at most %.1f\n", a, b, a / b, most
    exit !(a / b <= most)
  }' && exit 0
done
exit 1
