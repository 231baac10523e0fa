#include "ina219.h"

namespace bpu {

namespace {
constexpr uint8_t kConfig = 0, kShunt = 1, kBus = 2;
// 16 V bus range, PGA /2 (+-80 mV = 8 A at 10 milliohm), 12 bits with 16 samples averaged (8.5 ms) on both,
// continuous.
constexpr uint16_t kSetup = (1u << 11) | (0xcu << 7) | (0xcu << 3) | 7u;
}  // namespace

bool Ina219::read(uint8_t reg, uint16_t& value) {
  uint8_t bytes[2];
  if (!bus_.write(address_, &reg, 1) || !bus_.read(address_, bytes, sizeof bytes)) return false;
  value = static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
  return true;
}

bool Ina219::sample(int16_t& milliamps, uint16_t& millivolts) {
  if (!ready_) {
    const uint8_t setup[3] = {kConfig, kSetup >> 8, kSetup & 0xff};
    if (!bus_.write(address_, setup, sizeof setup)) return false;
    ready_ = true;
  }
  uint16_t shunt = 0, bus = 0, config = 0;
  if (!read(kConfig, config) || config != kSetup || !read(kShunt, shunt) || !read(kBus, bus)) {
    ready_ = false;
    return false;
  }
  milliamps = static_cast<int16_t>(shunt);  // 10 uV a step over 10 milliohm = 1 mA
  millivolts = static_cast<uint16_t>((bus >> 3) * 4);
  return true;
}

void EnergyCounter::add(int32_t milliamps, uint32_t millivolts, uint32_t elapsed_ms) {
  if (milliamps <= 0) return;
  constexpr uint64_t kPerMwh = 1000ull * 3600ull * 1000ull;  // uW ms in a mWh
  rest_ += static_cast<uint64_t>(milliamps) * millivolts * elapsed_ms;
  while (rest_ >= kPerMwh) {
    rest_ -= kPerMwh;
    mwh_++;
  }
}

}  // namespace bpu
