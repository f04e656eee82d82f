#!/usr/bin/env bash
# keep_log.sh OBJECT COMMAND…: compiles, keeps what ptxas says of each kernel in OBJECT.log, and shows the rest.
object=$1
shift
"$@" 2> "$object.log"
result=$?
grep -vE "^ptxas info|bytes stack frame" "$object.log" >&2
exit $result
