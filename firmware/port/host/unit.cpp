#include "unit.h"

#include <poll.h>

#include <chrono>
#include <cstring>

#include "../../core/version.h"

namespace host {

namespace {

// A program image for the simulated flash: a head that tells version and checksum, then filler.
void write_image(simhw::NorFlash& flash, uint32_t version) {
  std::vector<uint8_t> body(8192, 0x5a);
  simhw::NorFlash::ImageHead head = {simhw::NorFlash::kImageMagic, version,
                                     static_cast<uint32_t>(sizeof head + body.size()),
                                     bpu::crc32(body.data(), body.size())};
  flash.fill(0, &head, sizeof head);
  flash.fill(sizeof head, body.data(), body.size());
}

int at(const std::vector<int>& list, size_t index, int otherwise) {
  return index < list.size() ? list[index] : otherwise;
}

}  // namespace

Unit::Unit(const Options& options)
    : options_(options),
      board_(options.slots),
      records_(board_, options.state),
      flash_memory_(simhw::NorFlash::kSize, 0xff),
      flash_(board_, flash_memory_.data()),
      chip_(board_, options.config.id),
      console_(options.serial),
      verifier_(options.update_key),
      hal_{board_, board_, board_, board_, records_, mqtt_, http_, flash_, verifier_, console_, chip_} {
  for (uint8_t i = 0; i < options.slots; i++) {
    board_.caddy(i).type = static_cast<uint8_t>(at(options.types, i, 1));
    board_.caddy(i).always_on = at(options.always_on, i, 0) != 0;
  }
  if (options.has_config) bpu::save_config(records_, options.config);
  if (options.boot > 0) {
    const uint32_t before = options.boot - 1;
    records_.save("boot", &before, sizeof before);
  }
  write_image(flash_, bpu::kFirmwareNumber);
}

void Unit::start() {
  for (uint8_t i = 0; i < options_.slots; i++)
    if (at(options_.power, i, 0)) board_.switch_on_before_start(i);
  board_.clear_counts();
  boot_mcu("power");
}

void Unit::boot_mcu(const char* reason) {
  mqtt_.close();
  http_.close();
  flash_.mend();
  flash_.boot();
  board_.revive();
  chip_.reason = reason;
  chip_.wants_restart = false;
  app_ = std::make_unique<bpu::BpuApp>(hal_);
  app_->start();
  notify("boot " + std::to_string(app_->boot()) + " " + reason);
  watch();
}

void Unit::pass(uint32_t ms) {
  board_.advance(ms);
  if (!powered_) {
    if (static_cast<int32_t>(board_.ms() - power_back_at_) < 0) return;
    powered_ = true;
    boot_mcu("power");
  }
  app_->tick();
  if (!board_.alive_mcu()) boot_mcu(chip_.wants_restart ? "soft" : "watchdog");
  watch();
}

void Unit::settle() {
  using Clock = std::chrono::steady_clock;
  const auto limit = Clock::now() + std::chrono::milliseconds(500);
  while (powered_ && Clock::now() < limit) {
    pass(0);
    const bool idle = app_->mqtt().resting() || (app_->settled() && !app_->mqtt().awaiting());
    if (app_->update().busy()) continue;  // as fast as flash and wire give it
    int fds[3];
    const int count = descriptors(fds);
    pollfd list[3] = {};
    for (int i = 0; i < count; i++) list[i] = {fds[i], POLLIN, 0};
    if (poll(list, static_cast<nfds_t>(count), idle ? 0 : 2) <= 0 && idle) return;
  }
}

void Unit::advance(uint32_t ms) {
  settle();
  while (ms > 0) {
    const uint32_t step = ms < 50 ? ms : 50;
    pass(step);
    settle();
    ms -= step;
  }
}

void Unit::mcu_reset() {
  if (powered_) boot_mcu("watchdog");
}

void Unit::power_loss(uint32_t ms) {
  board_.kill();
  board_.power_loss();
  flash_.power_loss();
  mqtt_.close();
  http_.close();
  powered_ = false;
  power_back_at_ = board_.ms() + ms;
  watch();
}

void Unit::set_network(bool up) {
  mqtt_.tcp().set_network(up);
  http_.set_network(up);
}

int Unit::descriptors(int out[3]) const {
  int n = 0;
  const int all[3] = {mqtt_.tcp().descriptor(), http_.descriptor(), console_.descriptor()};
  for (const int fd : all)
    if (fd >= 0) out[n++] = fd;
  return n;
}

// Tells what the world outside sees.
void Unit::watch() {
  for (uint8_t i = 0; i < options_.slots; i++) {
    const std::string slot = "slot " + std::to_string(i + 1) + " ";
    const simhw::Caddy& caddy = board_.caddy(i);
    if (board_.pgood(i) != pgood_[i]) {
      pgood_[i] = !pgood_[i];
      notify(slot + (pgood_[i] ? "power 1" : "power 0"));
    }
    if (caddy.shutdown_pulses < shutdowns_[i]) shutdowns_[i] = 0;
    for (; shutdowns_[i] < caddy.shutdown_pulses; shutdowns_[i]++) notify(slot + "shutdown");
    if (caddy.reset_pulses < resets_[i]) resets_[i] = 0;
    for (; resets_[i] < caddy.reset_pulses; resets_[i]++) notify(slot + "reset");
  }
  const bool online = powered_ && app_ && app_->mqtt().up() && (online_ || app_->settled());
  if (online == online_) return;
  online_ = online;
  notify(online ? "online" : "offline");
}

}  // namespace host
