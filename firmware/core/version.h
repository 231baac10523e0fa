// Versions that the unit tells and judges updates by.
#pragma once

#include <stdint.h>

namespace bpu {

constexpr uint32_t kFirmwareNumber = 10000;  // major * 10000 + minor * 100 + patch: 1.0.0
constexpr char kHardware[] = "a";            // revision of the backplane
constexpr uint32_t kHardwareId = 0x42505541; // "BPUA", must be that of an update's image

}  // namespace bpu
