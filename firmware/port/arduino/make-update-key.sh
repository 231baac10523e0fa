#!/bin/sh
# make-update-key.sh PRIVATE_KEY HEADER: makes the key if it is not there, and writes its modulus into the header.
set -eu
key=$1 header=$2
[ -e "$key" ] || (umask 077 && openssl genrsa -out "$key" 2048)
bytes=$(openssl rsa -in "$key" -noout -modulus | sed 's/^Modulus=//' | sed 's/../0x&, /g' | fold -w 96 | sed 's/^/    /; s/ *$//')
cat > "$header" <<EOF
// The RSA-2048 modulus that signs updates for this unit; the exponent is 65537. Written by make-update-key.sh.
#pragma once

#include <stdint.h>

constexpr uint8_t kUpdateModulus[256] = {
$bytes
};
EOF
echo "signs updates: $key (keep it secret, keep a copy); flash the firmware anew so that units know it"
