#!/usr/bin/env bash
# refuse.sh FILE: the file compiles with -DACCEPT, and without it fails with what its line `// says: …` expects.
# The compiler and its flags come in COMPILE.
set -uo pipefail
if ! $COMPILE -fsyntax-only -DACCEPT "$1"; then
  echo "the accepted half of $1 does not compile"
  exit 1
fi
if message=$($COMPILE -fsyntax-only "$1" 2>&1); then
  echo "$1 compiled, and must not"
  exit 1
fi
expected=$(sed -n 's/^\/\/ says: //p' "$1")
if [ -z "$expected" ] || ! grep -qE -- "$expected" <<<"$message"; then
  printf '%s was refused without saying "%s":\n%s\n' "$1" "$expected" "$message"
  exit 1
fi
echo "refused as it should be: $expected"
