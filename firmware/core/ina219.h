// INA219 current and voltage monitor behind a 10 milliohm shunt.
#pragma once

#include "hal.h"

namespace bpu {

class Ina219 {
 public:
  Ina219(I2c& bus, uint8_t address) : bus_(bus), address_(address) {}

  // Reads current and voltage; false when the chip does not answer. It is set up again after a failure, since
  // it forgets its range when its supply dips.
  bool sample(int16_t& milliamps, uint16_t& millivolts);

 private:
  bool read(uint8_t reg, uint16_t& value);

  I2c& bus_;
  uint8_t address_;
  bool ready_ = false;
};

// Charge through a slot, in milliwatt hours, from samples of current and voltage.
class EnergyCounter {
 public:
  void add(int32_t milliamps, uint32_t millivolts, uint32_t elapsed_ms);
  uint32_t milliwatt_hours() const { return mwh_; }

 private:
  uint32_t mwh_ = 0;
  uint64_t rest_ = 0;  // microwatt milliseconds below one mWh
};

}  // namespace bpu
