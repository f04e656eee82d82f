#!/usr/bin/env bash
# disassembly.sh LIBRARY PLANTED: in a library of the ops, each kernel's entry for an instruction set uses its registers, and hands the work to
# nothing that was compiled for less. PLANTED is an object with kernels that do just that: they must be found.
#
#   run64 zmm    run32 ymm, no zmm    run16 xmm alone    AVX512-BF16's tiles vdpbf16ps    AMX's tiles tdpbf16ps
set -uo pipefail
command -v objdump >/dev/null || { echo "skipped: no objdump (binutils)"; exit 77; }

# What an entry may call: another entry, a thread's scratch, what has a target of its own (the tile unit, rounding by AVX512-BF16) or only calls such (attention's products), memory, the standard library's functions of one number.
called='run(64|32|16)<|Scratch::|amx_|round_rows|PairProducts::|^mem(set|cpy|move)|^operator |^__cxa_|^_Unwind|^std::|^(sin|cos|log|exp|exp2|sqrt|pow|erf|tanh)f?$'

faults() {
  objdump -drC --no-show-raw-insn "$1" | awk -v called="$called" '
    function finish() {
      if (name ~ /cpu::run(64|32|16)</) {
        width = substr(name, index(name, "cpu::run") + 8, 2)
        ++count[width]
        if (width == 64 ? !zmm : width == 32 ? !ymm : !xmm) print "without its registers: " name
        if ((width == 32 && zmm) || (width == 16 && (ymm || zmm))) print "with wider registers: " name
        if (strange != "") print "calls " strange ": " name
      }
      if (name ~ /DotTile<.*::run\(/ && ++tiles["vdpbf16ps"] && !dot) print "without vdpbf16ps: " name
      if (name ~ /amx_(tile|strip|block)\(/ && ++tiles["tdpbf16ps"] && !tile && !onward) print "without tdpbf16ps: " name
      zmm = ymm = xmm = dot = tile = onward = 0
      strange = name = ""
    }
    /^[0-9a-f]+ <.*>:$/ { finish(); name = $0; sub(/^[0-9a-f]+ </, "", name); sub(/>:$/, "", name); next }
    /zmm/ { zmm = 1 }
    /ymm/ { ymm = 1 }
    /xmm/ { xmm = 1 }
    /vdpbf16ps/ { dot = 1 }
    /tdpbf16ps/ { tile = 1 }
    /R_X86_64_(PLT32|PC32)/ && before ~ /[ \t](call|jmp)/ {
      target = $0
      sub(/.*R_X86_64_(PLT32|PC32)[ \t]+/, "", target)
      sub(/-0x[0-9a-f]+$/, "", target)
      sub(/^void /, "", target)
      if (target ~ /amx_(tile|strip)/) onward = 1
      if (target !~ called && target !~ /^\.(text|rodata)/) strange = target
    }
    { before = $0 }
    END {
      finish()
      printf "entries: %d of 64 bytes, %d of 32, %d of 16; tiles: %d vdpbf16ps, %d tdpbf16ps\n", count[64], count[32], count[16], tiles["vdpbf16ps"], tiles["tdpbf16ps"]
    }'
}

failed=0
found=$(faults "$1")
grep -v '^entries' <<<"$found" | cut -c1-300 && failed=1
summary=$(grep '^entries' <<<"$found")
echo "$summary"
read -r w64 w32 dots tiles < <(sed -E 's/[^0-9]*([0-9]+) of 64[^,]*, ([0-9]+) of 32.*: ([0-9]+) vdp[^,]*, ([0-9]+) tdp.*/\1 \2 \3 \4/' <<<"$summary")
for n in "$w64" "$w32" "$dots" "$tiles"; do [ "$n" -gt 0 ] || { echo "nothing to look at: the library has other names"; failed=1; }; done

planted=$(faults "$2")
for fault in 'without its registers: .*run64<.*Recurrence' 'without its registers: .*run32<.*Recurrence' 'calls .*outside.*run64<.*Leaving' 'calls .*outside.*run32<.*Leaving'; do
  grep -qE "$fault" <<<"$planted" || { echo "the planted fault was not found: $fault"; failed=1; }
done
exit $failed
