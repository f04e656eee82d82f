#!/usr/bin/env bash
# resources.sh BUILD TABLE [--write | --spills]: registers, spills and static shared memory of every kernel, as ptxas told while BUILD was built, against
# TABLE. A kernel that spills more, or takes over 8 registers more than the table has, or isn't in it, is a failure; --write writes the table anew;
# --spills looks at spills alone, of any architecture.
set -euo pipefail
build=$1 table=$2
now=$(mktemp)
trap 'rm -f "$now"' EXIT
find "$build" -name '*.cu.o.log' -print0 | sort -z | xargs -0 -r cat | awk '
  /Compiling entry function/ { match($0, /\047[^\047]+\047/); name = substr($0, RSTART + 1, RLENGTH - 2); arch = $NF; gsub(/\047/, "", arch) }
  /spill stores/ { spills = $5 + $9 }
  /Used [0-9]+ registers/ {
    registers = 0; shared = 0
    for (i = 1; i <= NF; ++i) {
      if ($i == "Used") registers = $(i + 1)
      if ($i ~ /^smem/) shared = $(i - 2)
    }
    print name "\t" arch "\t" registers "\t" spills "\t" shared
  }' | c++filt | sed -E 's/fg::v0_cuda:://g; s/\(anonymous namespace\):://g; s/void //; s/\([^\t]*\)\t/\t/' | sort -u > "$now"
kernels=$(wc -l < "$now")
[ "$kernels" -gt 0 ] || { echo "skipped: the build has no kernels for GPUs"; exit 0; }
if [ "${3:-}" = --write ]; then
  { printf '# kernel\tarchitecture\tregisters\tbytes spilled\tstatic shared bytes; written by tests/cuda/resources.sh\n'; cat "$now"; } > "$table"
  echo "$kernels kernels written to $table"
  exit 0
fi
if [ "${3:-}" = --spills ]; then
  awk -F'\t' '$4 > 0 { print $1 " for " $2 " spills " $4 " bytes"; bad = 1 } END { exit bad }' "$now"
  echo "none of $kernels kernels spills"
  exit 0
fi
awk -F'\t' -v table="$table" '
  BEGIN { while ((getline line < table) > 0) { split(line, f, "\t"); if (line !~ /^#/) { registers[f[1] FS f[2]] = f[3]; spills[f[1] FS f[2]] = f[4] } } }
  {
    key = $1 FS $2
    if (!(key in registers)) { print "not in the table: " $1 " for " $2 " (" $3 " registers)"; bad = 1 }
    else {
      if ($4 > spills[key]) { print $1 " for " $2 " spills " $4 " bytes, the table has " spills[key]; bad = 1 }
      if ($3 > registers[key] + 8) { print $1 " for " $2 " takes " $3 " registers, the table has " registers[key]; bad = 1 }
    }
  }
  END { if (bad) { print "after looking at it: tests/cuda/resources.sh BUILD TABLE --write"; exit 1 } }' "$now"
echo "$kernels kernels as the table has them"
