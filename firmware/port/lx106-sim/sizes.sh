#!/bin/sh
# Prints code and static data (constants are in RAM on the chip) of the core as linked for the chip, and fails above the limits.
# sizes.sh PREFIX ELF TEXT_LIMIT DATA_LIMIT CORE_OBJECTS…
set -eu
prefix=$1 elf=$2 text_limit=$3 data_limit=$4
shift 4
# Everything the core's objects hold, used or not: more than an image would link.
text=$("$prefix-size" "$@" | awk 'NR > 1 { sum += $1 } END { print sum }')
symbol() { "$prefix-nm" "$elf" | awk -v name="$1" '$3 == name { print "0x" $1 }'; }
data=$(( $(symbol __core_end) - $(symbol __core_start) ))
echo "core on lx106: text $text of $text_limit bytes, static data $data of $data_limit bytes"
[ "$text" -le "$text_limit" ] || { echo "the core's code is too large" >&2; exit 1; }
[ "$data" -le "$data_limit" ] || { echo "the core's static data is too large" >&2; exit 1; }
