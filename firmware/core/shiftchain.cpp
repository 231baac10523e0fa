#include "shiftchain.h"

namespace bpu {

void ShiftChain::transfer(const uint8_t outputs[kMaxSlots], uint8_t inputs[kMaxSlots]) {
  gpio_.write(Pin::ShLd, false);  // parallel load
  gpio_.write(Pin::ShLd, true);
  for (uint8_t i = 0; i < kMaxSlots; i++) {
    // The first byte out ends in the farthest unit; with a shorter chain it falls off the end. The first
    // byte in is from the nearest.
    const uint8_t out = outputs[kMaxSlots - 1 - i];
    uint8_t in = 0;
    for (int bit = 7; bit >= 0; bit--) {
      gpio_.write(Pin::Ser, (out >> bit) & 1);
      in = static_cast<uint8_t>((in << 1) | (gpio_.read(Pin::Miso) ? 1 : 0));
      gpio_.write(Pin::Sck, true);
      gpio_.write(Pin::Sck, false);
    }
    inputs[i] = in;
  }
}

void ShiftChain::latch() {
  gpio_.write(Pin::Rclk, true);
  gpio_.write(Pin::Rclk, false);
}

uint8_t ShiftChain::length(const uint8_t inputs[kMaxSlots]) {
  uint8_t n = 0;
  while (n < kMaxSlots && (inputs[n] & in::kTypeMask) != in::kTypeMask) n++;
  return n;
}

bool ShiftChain::broken(const uint8_t inputs[kMaxSlots], uint8_t slots) {
  for (uint8_t i = 0; i < slots; i++)
    if (inputs[i] != inputs[0]) return false;
  return inputs[0] == 0x00 || inputs[0] == 0xff;
}

}  // namespace bpu
