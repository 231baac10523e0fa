// The chain of shift-register units: one 74HC594 (outputs) and one 74HC165 (inputs) per slot.
#pragma once

#include "hal.h"
#include "pinmap_d1mini.h"

namespace bpu {

// Reads and writes go over the same clock. Outputs change at an RCLK edge only, which latch alone makes, so
// a reset of the MCU between any two operations leaves the outputs as they were.
class ShiftChain {
 public:
  explicit ShiftChain(Gpio& gpio) : gpio_(gpio) {}

  // Samples all inputs and moves outputs into the shift stage, without an edge on RCLK. Index 0 is the unit
  // nearest the MCU. A unit that is not there reads 0xff.
  void transfer(const uint8_t outputs[kMaxSlots], uint8_t inputs[kMaxSlots]);

  // Makes the shifted outputs the actual ones.
  void latch();

  // Units present: those before the first whose type bits are all ones.
  static uint8_t length(const uint8_t inputs[kMaxSlots]);

  // True when every unit reads the same rail: the data line is open or shorted, and nothing read is to be believed.
  // A unit that works never reads so: its button is pulled up, its type is not all ones.
  static bool broken(const uint8_t inputs[kMaxSlots], uint8_t slots);

 private:
  Gpio& gpio_;
};

}  // namespace bpu
