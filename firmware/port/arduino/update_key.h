// The RSA-2048 modulus that signs updates for this unit; the exponent is 65537. All zeros: no update is ever
// accepted over the network. `make -C firmware update-key` makes a key of your own and writes this file.
#pragma once

#include <stdint.h>

constexpr uint8_t kUpdateModulus[256] = {};
