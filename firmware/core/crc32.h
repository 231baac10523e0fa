// CRC-32 (IEEE 802.3), bit by bit: a few records only, so no table.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace bpu {

uint32_t crc32(const void* data, size_t size);

// Goes on from the CRC of what came before; 0 to begin.
uint32_t crc32_more(uint32_t crc, const void* data, size_t size);

}  // namespace bpu
