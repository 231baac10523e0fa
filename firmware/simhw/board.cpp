#include "board.h"

namespace simhw {

using bpu::Pin;

namespace {
constexpr uint16_t kInaReset = 0x399f;
}

Board::Board(uint8_t units) : units_(units) {
  for (uint16_t& config : ina_config_) config = kInaReset;
  for (uint8_t i = 0; i < kWords; i++) rtc_[i] = 0x5a5a1234u * (i + 7u);
}

bool Board::operate() {
  if (dead_) return false;
  if (cutting_ && left_-- == 0) {
    dead_ = true;
    return false;
  }
  operations_++;
  return true;
}

bool Board::operate_write() {
  if (cutting_writes_ && !dead_ && writes_left_-- == 0) {
    cutting_writes_ = false;
    dead_ = true;
  }
  return operate();
}

// In a restart SER and SCK float and toggle, RCLK is pulled down; then the port drives all to their idle levels.
void Board::revive() {
  if (dead_) {
    rclk_ = false;
    shift_ = true;
    for (int i = 0; i < 13; i++) {
      ser_ = i % 3 != 0;
      clock_edge();
    }
    sck_ = ser_ = false;
  }
  dead_ = cutting_ = false;
}

void Board::advance(uint32_t ms) {
  now_ += ms;
  for (uint8_t i = 0; i < units_; i++) {
    Caddy& c = caddy_[i];
    if (c.button && static_cast<int32_t>(now_ - c.button_until) >= 0) c.button = false;
    if (c.halting && static_cast<int32_t>(now_ - c.halt_at) >= 0) {
      c.halting = false;
      c.halted = true;
    }
    if (c.power && c.shorted && now_ - c.power_changed >= 2) c.tripped = true;
  }
}

bool Board::pgood(uint8_t index) const {
  const Caddy& c = caddy_[index];
  if (c.pgood != kAuto) return c.pgood != 0;
  if (c.backfed) return true;
  if (c.type == 0 || c.tripped) return false;
  if (c.power) return now_ - c.power_changed >= c.rise_ms;
  return c.falling && now_ - c.power_changed < c.fall_ms;
}

bool Board::alive(uint8_t index) const {
  const Caddy& c = caddy_[index];
  if (c.alive != kAuto) return c.alive != 0;
  return pgood(index) && c.power && !c.halted && now_ - c.booted >= c.boot_ms;
}

int32_t Board::milliamps(uint8_t index) const {
  const Caddy& c = caddy_[index];
  if (!pgood(index) || !c.power) return 0;
  return c.halted ? 60 : c.draw_ma;
}

uint8_t Board::inputs(uint8_t index) const {
  const Caddy& c = caddy_[index];
  uint8_t byte = c.type;
  if (!c.button) byte |= bpu::in::kButtonN;
  if (!c.always_on || c.type == 0) byte |= bpu::in::kAlwaysOnN;
  if (!alive(index)) byte |= bpu::in::kAliveN;
  if (pgood(index)) byte |= bpu::in::kPowerGood;
  return byte;
}

void Board::write(Pin pin, bool high) {
  if (!operate()) return;
  switch (pin) {
    case Pin::ShLd:
      shift_ = high;
      if (!high)
        for (uint8_t i = 0; i < units_; i++) shift_in_[i] = inputs(i);
      break;
    case Pin::Ser: ser_ = high; break;
    case Pin::Sck:
      if (high && !sck_) clock_edge();
      sck_ = high;
      break;
    case Pin::Rclk:
      if (high && !rclk_) latch();
      rclk_ = high;
      break;
    case Pin::Led: led_ = !high; break;
    case Pin::Miso: case Pin::HubReset: break;
  }
}

bool Board::read(Pin pin) {
  if (!operate()) return false;
  if (miso != kAuto) return miso != 0;
  return pin == Pin::Miso && units_ > 0 ? (shift_in_[0] & 0x80) != 0 : true;
}

void Board::clock_edge() {
  uint8_t carry = ser_ ? 1 : 0;
  for (uint8_t i = 0; i < units_; i++) {
    const uint8_t out = shift_out_[i] >> 7;
    shift_out_[i] = static_cast<uint8_t>(shift_out_[i] << 1 | carry);
    carry = out;
  }
  if (!shift_) return;
  for (uint8_t i = 0; i < units_; i++) {
    // The far end of the chain is pulled up.
    const uint8_t next = i + 1 < units_ ? shift_in_[i + 1] >> 7 : 1;
    shift_in_[i] = static_cast<uint8_t>(shift_in_[i] << 1 | next);
  }
}

void Board::latch() {
  for (uint8_t i = 0; i < units_; i++) {
    storage_[i] = shift_out_[i];
    apply(i, storage_[i]);
  }
}

void Board::apply(uint8_t index, uint8_t outputs) {
  Caddy& c = caddy_[index];
  const uint8_t rising = static_cast<uint8_t>(outputs & ~c.outputs);
  c.outputs = outputs;
  const bool power = outputs & bpu::out::kPowerEnable;
  if (power != c.power) {
    c.falling = !power && pgood(index);
    c.power = power;
    c.power_edges++;
    c.power_changed = c.booted = now_;
    c.halted = c.halting = false;
    if (!power) c.tripped = false;
  }
  if (rising & bpu::out::kShutdownRequest) {
    c.shutdown_pulses++;
    if (c.honours_shutdown && alive(index)) {
      c.halting = true;
      c.halt_at = now_ + c.halt_ms;
    }
  }
  if (rising & bpu::out::kResetRequest) {
    c.reset_pulses++;
    c.booted = now_;
    c.halted = c.halting = false;
  }
}

bool Board::write(uint8_t address, const uint8_t* data, size_t size) {
  if (!operate()) return false;
  for (uint8_t i = 0; i < units_; i++) {
    if (bpu::kIna219Address[i] != address || size == 0) continue;
    ina_register_[i] = data[0];
    if (size == 3 && data[0] == 0) ina_config_[i] = static_cast<uint16_t>(data[1] << 8 | data[2]);
    return true;
  }
  return false;
}

bool Board::read(uint8_t address, uint8_t* data, size_t size) {
  if (!operate()) return false;
  for (uint8_t i = 0; i < units_; i++) {
    if (bpu::kIna219Address[i] != address || size != 2) continue;
    uint16_t value = ina_config_[i];
    if (ina_register_[i] == 1) value = static_cast<uint16_t>(milliamps(i));
    if (ina_register_[i] == 2) value = static_cast<uint16_t>((pgood(i) ? 5080 / 4 : 0) << 3);
    data[0] = static_cast<uint8_t>(value >> 8);
    data[1] = static_cast<uint8_t>(value);
    return true;
  }
  return false;
}

uint32_t Board::read(uint8_t word) { return operate() ? rtc_[word] : 0; }

void Board::write(uint8_t word, uint32_t value) {
  if (operate()) rtc_[word] = value;
}

void Board::press(uint8_t index, uint32_t ms) {
  caddy_[index].button = true;
  caddy_[index].button_until = now_ + ms;
}

// The slot had power before the MCU was restarted.
void Board::switch_on_before_start(uint8_t index) {
  storage_[index] = shift_out_[index] = bpu::out::kPowerEnable;
  apply(index, bpu::out::kPowerEnable);
  caddy_[index].power_changed = caddy_[index].booted = now_ - 60000;
}

void Board::insert(uint8_t index, uint8_t type) {
  Caddy& c = caddy_[index];
  c.type = type;
  c.tripped = c.falling = c.halted = c.halting = false;
  c.power_changed = c.booted = now_;
}

void Board::power_loss() {
  for (uint8_t i = 0; i < bpu::kMaxSlots; i++) {
    shift_out_[i] = storage_[i] = 0;
    apply(i, 0);
    caddy_[i].falling = false;
    ina_config_[i] = kInaReset;
  }
  for (uint8_t i = 0; i < kWords; i++) rtc_[i] = 0xa5c35a3cu ^ (now_ * (i + 1u));
  sck_ = rclk_ = false;
}

void Board::clear_counts() {
  for (Caddy& c : caddy_) c.power_edges = c.shutdown_pulses = c.reset_pulses = 0;
}

}  // namespace simhw
