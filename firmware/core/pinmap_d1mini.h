// The one place where pins and bit positions are written. The board's netlist is checked against it.
#pragma once

#include "hal.h"

namespace bpu {

// GPIO numbers of the ESP8266 on a Wemos D1 mini.
struct D1MiniPin {
  Pin pin;
  uint8_t gpio;
  bool output;
  bool idle;  // level of an output before the first use; all are harmless without an RCLK edge
};

constexpr D1MiniPin kD1MiniPins[] = {
    {Pin::Rclk, 5, true, false},      // D1; pulled down, high impedance at boot: no false latch edge
    {Pin::Sck, 14, true, false},      // D5; 594 SRCLK and 165 CLK
    {Pin::Ser, 13, true, false},      // D7
    {Pin::Miso, 12, false, false},    // D6; from 165 QH
    {Pin::ShLd, 16, true, true},      // D0; high = shift
    {Pin::HubReset, 15, true, false}, // D8; strap, must be low at boot
    {Pin::Led, 2, true, true},        // D4; on-board LED, lit when low
};
constexpr uint8_t kD1MiniSda = 4;  // D2
constexpr uint8_t kD1MiniScl = 0;  // D3; strap, must be high at boot

// Bits of a slot's 74HC594, QA = bit 0.
namespace out {
constexpr uint8_t kPowerEnable = 1 << 0;
constexpr uint8_t kLed = 1 << 1;
constexpr uint8_t kShutdownRequest = 1 << 2;
constexpr uint8_t kResetRequest = 1 << 3;
constexpr uint8_t kLedFault = 1 << 4;
constexpr uint8_t kUartEnable = 1 << 5;
// Bits that mean a pulse: never kept over a restart of the MCU.
constexpr uint8_t kPulses = kShutdownRequest | kResetRequest;
}  // namespace out

// Bits of a slot's 74HC165, A = bit 0.
namespace in {
constexpr uint8_t kTypeMask = 0x0f;
constexpr uint8_t kButtonN = 1 << 4;
constexpr uint8_t kAlwaysOnN = 1 << 5;
constexpr uint8_t kAliveN = 1 << 6;  // low = the Pi lives
constexpr uint8_t kPowerGood = 1 << 7;
}  // namespace in

constexpr uint8_t kMaxSlots = 4;

// INA219 addresses of slots 1 to 4 (A1, A0 = GND GND, GND VS, VS GND, VS VS).
constexpr uint8_t kIna219Address[kMaxSlots] = {0x40, 0x41, 0x44, 0x45};

}  // namespace bpu
