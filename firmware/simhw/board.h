// A backplane in memory: the shift chain, the current monitors and the caddies behind them. Freestanding, so that
// the tests on the chip's instruction set and the Linux program use the same one.
#pragma once

#include "../core/hal.h"
#include "../core/pinmap_d1mini.h"

namespace simhw {

// -1 = as the model says, 0 or 1 = stuck there.
using Stuck = int8_t;
constexpr Stuck kAuto = -1;

// A caddy and its slot. Times in milliseconds.
struct Caddy {
  uint8_t type = 1;
  bool always_on = false;
  bool honours_shutdown = true;
  uint32_t boot_ms = 2000;
  uint32_t halt_ms = 3000;
  uint32_t rise_ms = 20, fall_ms = 20;
  int32_t draw_ma = 600;
  Stuck pgood = kAuto, alive = kAuto;
  bool shorted = false;   // the switch of the slot cuts out and stays so until PWR_EN goes low
  bool backfed = false;   // power from elsewhere
  uint32_t button_until = 0;
  bool button = false;

  // State.
  bool power = false;      // PWR_EN
  bool falling = false;    // capacitors still hold it up
  bool tripped = false;
  bool halted = false;
  bool halting = false;
  uint32_t power_changed = 0;
  uint32_t booted = 0;     // power or reset
  uint32_t halt_at = 0;
  uint8_t outputs = 0;
  // Counts since the last clear.
  uint32_t power_edges = 0, shutdown_pulses = 0, reset_pulses = 0;
};

// The MCU's side can be cut at any operation: after that many, all that the MCU does has no effect, until revive.
class Board final : public bpu::Clock, public bpu::Gpio, public bpu::I2c, public bpu::RtcMemory {
 public:
  explicit Board(uint8_t units = 3);

  // Clock.
  uint32_t ms() override { return now_; }
  void advance(uint32_t ms);

  // MCU side.
  void write(bpu::Pin pin, bool high) override;
  bool read(bpu::Pin pin) override;
  bool write(uint8_t address, const uint8_t* data, size_t size) override;
  bool read(uint8_t address, uint8_t* data, size_t size) override;
  uint32_t read(uint8_t word) override;
  void write(uint8_t word, uint32_t value) override;

  // The world's side.
  Caddy& caddy(uint8_t index) { return caddy_[index]; }
  uint8_t units() const { return units_; }
  void set_units(uint8_t units) { units_ = units; }
  bool pgood(uint8_t index) const;
  bool alive(uint8_t index) const;
  int32_t milliamps(uint8_t index) const;
  bool led() const { return led_; }
  Stuck miso = kAuto;      // the chain's data line, open or shorted
  void press(uint8_t index, uint32_t ms);
  void switch_on_before_start(uint8_t index);
  void insert(uint8_t index, uint8_t type);
  void halt(uint8_t index) { caddy_[index].halted = true; }
  void power_loss();
  void clear_counts();

  // Cuts the MCU off after n more operations; 0 = at the next one.
  void cut_after(uint32_t n) {
    cutting_ = true;
    left_ = n;
  }
  // Power is lost at the n-th write to what outlives it (flash, records, an order to the boot loader) from now, over
  // restarts too; 0 = at the next one.
  void cut_at_write(uint32_t n) {
    cutting_writes_ = true;
    writes_left_ = n;
  }
  bool cutting_writes() const { return cutting_writes_; }
  bool alive_mcu() const { return !dead_; }
  void kill() { dead_ = true; }
  // The MCU starts anew.
  void revive();
  // One operation of the MCU: false when it has no effect any more. Other simulated parts ask here too.
  bool operate();
  // The same for a write that outlives a loss of power.
  bool operate_write();
  uint32_t operations() const { return operations_; }

 private:
  uint8_t inputs(uint8_t index) const;
  void clock_edge();
  void latch();
  void apply(uint8_t index, uint8_t outputs);

  uint8_t units_;
  Caddy caddy_[bpu::kMaxSlots];
  uint8_t shift_out_[bpu::kMaxSlots] = {}, storage_[bpu::kMaxSlots] = {}, shift_in_[bpu::kMaxSlots] = {};
  bool sck_ = false, rclk_ = false, ser_ = false, shift_ = true, led_ = false;
  uint16_t ina_config_[bpu::kMaxSlots];
  uint8_t ina_register_[bpu::kMaxSlots] = {};
  uint32_t rtc_[kWords];
  uint32_t now_ = 0;
  bool dead_ = false, cutting_ = false, cutting_writes_ = false;
  uint32_t left_ = 0, writes_left_ = 0, operations_ = 0;
};

}  // namespace simhw
