#include "app_bpu.h"

#include <string.h>

#include "version.h"

namespace bpu {

namespace {
constexpr uint32_t kLookMs = 10;
constexpr uint32_t kWantsSaveMs = 1000;
constexpr uint32_t kSampleMs = 250;      // one slot each, so each slot once a second
constexpr uint32_t kRestartWaitMs = 2000;
constexpr uint32_t kHealthyMs = 60000;   // connected for so long proves a new image
constexpr uint64_t kTrialMs = 600000;    // a new image that has not proved itself by then is given up
}  // namespace

BpuApp::BpuApp(Hal& hal)
    : hal_(hal),
      chain_(hal.gpio),
      rtc_(hal.rtc),
      ina_{Ina219(hal.i2c, kIna219Address[0]), Ina219(hal.i2c, kIna219Address[1]), Ina219(hal.i2c, kIna219Address[2]),
           Ina219(hal.i2c, kIna219Address[3])},
      provisioner_(hal, config_),
      update_(hal),
      mqtt_(hal.mqtt, hal.chip, *this) {}

void BpuApp::log(const char* text) {
  hal_.console.write("# ", 2);
  hal_.console.write(text, strlen(text));
  hal_.console.write("\n", 1);
}

void BpuApp::start() {
  // Power first: inputs, then the image that was last latched, pulses cleared.
  uint8_t inputs[kMaxSlots];
  read_inputs(inputs);
  SlotImage remembered[kMaxSlots];
  const bool known = rtc_.load(remembered);
  // The last slot is there when it is seen, and when it was given power: one look that fails must not take that away.
  const bool last = known && (remembered[kMaxSlots - 1].outputs & out::kPowerEnable);
  slots_ = last || ShiftChain::length(inputs) >= kMaxSlots ? kMaxSlots : kMaxSlots - 1;
  bool any_power = false;
  for (uint8_t i = 0; i < kMaxSlots; i++) {
    slot_[i].start(known ? &remembered[i] : nullptr, inputs[i]);
    any_power = any_power || slot_[i].view().power == Power::On;
  }
  // Whatever was loaded, the chain is written once: after a loss of power this makes the zeros known to us.
  memset(latched_, 0xff, sizeof latched_);

  load_config(hal_.storage, config_);
  complete_config(hal_.chip, config_);
  count_boot();
  if (update_.start(boot_)) log("the new image has failed; going back to the one before");
  uint8_t wants = 0;
  if (hal_.storage.load("last", &wants, 1) == 1) {
    last_wants_ = wants;
    wants_known_ = true;
  }
  if (!known && !any_power) cold_start();
  write_outputs();

  now_ = looked_ = hal_.clock.ms();
  for (uint8_t i = 0; i < kMaxSlots; i++) view_[i] = slot_[i].view();
  telemetry_at_ = wants_saved_at_ = now_;
  log("caddyshack backplane unit");
  adopt_config(now_);
}

// Reads until two looks agree, a few times at most: a look costs a millisecond.
void BpuApp::read_inputs(uint8_t inputs[kMaxSlots]) {
  const uint8_t nothing[kMaxSlots] = {};
  uint8_t before[kMaxSlots];
  chain_.transfer(nothing, inputs);
  for (int look = 0; look < 5; look++) {
    memcpy(before, inputs, sizeof before);
    chain_.transfer(nothing, inputs);
    if (memcmp(before, inputs, sizeof before) == 0) return;
  }
}

void BpuApp::cold_start() {
  for (uint8_t i = 0; i < slots_; i++) {
    const bool last = wants_known_ && (last_wants_ >> i & 1);
    const bool on = config_.policy == Policy::On || (config_.policy == Policy::Last && last);
    if (on || slot_[i].view().always_on) slot_[i].hold();
  }
}

void BpuApp::count_boot() {
  uint32_t boot = 0;
  if (hal_.storage.load("boot", &boot, sizeof boot) != static_cast<int>(sizeof boot)) boot = 0;
  boot_ = boot + 1;
  hal_.storage.save("boot", &boot_, sizeof boot_);
}

void BpuApp::adopt_config(uint32_t now) {
  if (!ready_to_connect(config_)) {
    mqtt_.disconnect(now);
    return;
  }
  connect_settings();
  MqttSettings settings;
  settings.host = config_.host;
  settings.port = config_.port;
  pins_.count = 0;
  for (uint8_t i = 0; i < kKeySlots; i++)
    if (config_.keys >> i & 1) pins_.key[pins_.count++] = config_.key[i];
  settings.pins = config_.tls ? &pins_ : nullptr;
  settings.connect = mqtt::Connect{config_.id, config_.user[0] ? config_.user : config_.id, config_.password, will_topic_, "offline", 15};
  settings.filters = filters_;
  settings.filter_count = 3;
  settings.needed_filters = 2;  // a broker that hides controller/status costs the hold time only
  mqtt_.configure(settings, now);
}

void BpuApp::connect_settings() {
  TextWriter(will_topic_, sizeof will_topic_).text("caddyshack/v1/bpu/").text(config_.id).text("/status");
  TextWriter(unit_filter_, sizeof unit_filter_).text("caddyshack/v1/bpu/").text(config_.id).text("/cmd");
  TextWriter(slot_filter_, sizeof slot_filter_).text("caddyshack/v1/bpu/").text(config_.id).text("/slot/+/cmd");
  filters_[0] = unit_filter_;
  filters_[1] = slot_filter_;
  filters_[2] = "caddyshack/v1/controller/status";
}

void BpuApp::tick() {
  const uint32_t now = hal_.clock.ms();
  const uint32_t elapsed = now - now_;
  now_ = now;
  uptime_ms_ += elapsed;
  if (elapsed > loop_max_ms_) loop_max_ms_ = elapsed;

  tick_slots(now);
  sample_power(now);
  mqtt_.tick(now, !pressing());
  write_outputs();  // a command that came in acts, and is remembered, before it is answered
  update_views();
  publish_next(now);
  remember_wants(now);
  show_link();
  provisioner_.show(boot_, mqtt_.up());
  if (provisioner_.tick()) {
    complete_config(hal_.chip, config_);
    adopt_config(now);
  }
  tick_health();
  update_.tick(now, !pressing());
  if (update_.take_restart()) restart_ = true;
  if (update_.take_changed()) info_due_ = true;
  if (provisioner_.take_restart()) restart_ = true;
  if (!restart_) {
    restart_at_ = now;
  } else if ((ack_count_ == 0 && !pressing()) || now - restart_at_ >= kRestartWaitMs) {
    restart_ = false;
    hal_.chip.restart();
  }
}

void BpuApp::tick_slots(uint32_t now) {
  const uint32_t elapsed = now - looked_;
  if (elapsed < kLookMs) return;
  looked_ = now;
  uint8_t inputs[kMaxSlots];
  chain_.transfer(latched_, inputs);
  if (ShiftChain::broken(inputs, slots_)) {
    chain_errors_++;  // blind, so nothing is decided; only what was begun ends
    if (blind_looks_ < kBlindLooks) blind_looks_++;
    for (uint8_t i = 0; i < slots_; i++) slot_[i].tick_blind(elapsed);
    write_outputs();
    return;
  }
  blind_looks_ = 0;
  for (uint8_t i = 0; i < slots_; i++) slot_[i].tick(elapsed, inputs[i]);
  tick_restore();
  update_views();
  write_outputs();
}

void BpuApp::tick_restore() {
  restore_.tick(uptime_ms_, controller_ready_, config_);
  for (uint8_t i = 0; i < slots_; i++)
    if (slot_[i].held() && restore_.due(i, slot_[i].view().always_on, uptime_ms_, config_)) slot_[i].release();
}

// The intended image goes to the memory that a reset leaves alone before the edge that makes it real.
void BpuApp::write_outputs() {
  SlotImage images[kMaxSlots];
  uint8_t outputs[kMaxSlots] = {}, inputs[kMaxSlots];
  for (uint8_t i = 0; i < slots_; i++) {
    images[i] = slot_[i].image();
    outputs[i] = images[i].outputs;
  }
  rtc_.save(images);
  if (memcmp(outputs, latched_, sizeof outputs) == 0) return;
  memcpy(latched_, outputs, sizeof outputs);
  chain_.transfer(outputs, inputs);
  chain_.latch();
}

void BpuApp::update_views() {
  for (uint8_t i = 0; i < slots_; i++) {
    const SlotView view = slot_[i].view();
    if (touched_[i] || !(view == view_[i])) {
      touched_[i] = false;
      view_[i] = view;
      seq_[i]++;
      state_due_[i] = true;
    }
    Event event;
    while (event_count_ < kEvents && slot_[i].next_event(event)) {
      events_[event_count_++] = PendingEvent{static_cast<uint8_t>(i + 1), event, seq_[i]};
    }
  }
}

// Keeps what was wanted for the policy `last`; at most once a second, on change only.
void BpuApp::remember_wants(uint32_t now) {
  uint8_t wants = 0;
  for (uint8_t i = 0; i < slots_; i++)
    if (slot_[i].view().want) wants |= static_cast<uint8_t>(1 << i);
  if ((wants_known_ && wants == last_wants_) || now - wants_saved_at_ < kWantsSaveMs) return;
  wants_saved_at_ = now;
  if (!hal_.storage.save("last", &wants, 1)) return;
  last_wants_ = wants;
  wants_known_ = true;
}

void BpuApp::sample_power(uint32_t now) {
  if (now - sampled_at_ < kSampleMs) return;
  sampled_at_ = now;
  const uint8_t i = sample_slot_;
  sample_slot_ = static_cast<uint8_t>((sample_slot_ + 1) % slots_);
  if (!slot_[i].view().pgood) {
    slot_sampled_at_[i] = now;
    milliamps_[i] = 0;
    millivolts_[i] = 0;
    return;
  }
  if (!ina_[i].sample(milliamps_[i], millivolts_[i])) {
    milliamps_[i] = 0;
    millivolts_[i] = 0;
  }
  energy_[i].add(milliamps_[i], millivolts_[i], now - slot_sampled_at_[i]);
  slot_sampled_at_[i] = now;
}

// On-board LED: steady = connected; slow = Wi-Fi but no broker; fast = no Wi-Fi; two flashes = not set up.
void BpuApp::show_link() {
  bool lit;
  if (mqtt_.up()) {
    lit = true;
  } else if (!ready_to_connect(config_)) {
    const uint32_t phase = now_ % 1600;
    lit = phase < 100 || (phase >= 300 && phase < 400);
  } else {
    lit = now_ / (hal_.chip.link_up() ? 500 : 100) % 2;
  }
  hal_.gpio.write(Pin::Led, !lit);
}

void BpuApp::tick_health() {
  if (!update_.on_trial()) return;
  if (mqtt_.up() && uptime_ms_ - connected_at_ >= kHealthyMs) {
    update_.healthy();
    log("the new image is good");
  } else if (uptime_ms_ >= kTrialMs && !mqtt_.up()) {
    restart_ = true;  // counts as a boot without health
  }
}

bool BpuApp::pressing() const {
  // While nothing can be seen no state moves on, and only the end of a pulse is worth waiting for.
  for (uint8_t i = 0; i < slots_; i++)
    if (blind() ? slot_[i].pulsing() : slot_[i].pressing()) return true;
  return false;
}

}  // namespace bpu
