// Messages that go out, one at a time, the most urgent first.
#include <string.h>

#include "app_bpu.h"
#include "version.h"

namespace bpu {

namespace {
constexpr uint32_t kRepublishMs = 60000;
constexpr uint32_t kTelemetryMs = 30000;
constexpr uint32_t kSlotTelemetryMs = 5000;
}  // namespace

void BpuApp::mqtt_connected() {
  sync_ = Sync::Info;
  sync_slot_ = 0;
  in_flight_ = InFlight::Other;
  connected_at_ = uptime_ms_;
  republished_ = now_;
  info_due_ = status_due_ = false;
  telemetry_due_ = true;  // tells a new controller the uptime, from which it computes `exp`
  log("connected");
}

void BpuApp::mqtt_disconnected() {
  in_flight_ = InFlight::Other;
  log("connection lost");
}

// Acks and events stay in their queue until the broker has them, over a lost connection too.
void BpuApp::mqtt_delivered() {
  if (in_flight_ == InFlight::Ack) {
    ack_count_--;
    memmove(static_cast<void*>(acks_), acks_ + 1, ack_count_ * sizeof acks_[0]);
  } else if (in_flight_ == InFlight::Event) {
    event_count_--;
    memmove(static_cast<void*>(events_), events_ + 1, event_count_ * sizeof events_[0]);
  }
  in_flight_ = InFlight::Other;
}

void BpuApp::republish_all() {
  info_due_ = status_due_ = true;
  for (uint8_t i = 0; i < slots_; i++) state_due_[i] = true;
  republished_ = now_;
}

bool BpuApp::settled() const {
  if (!mqtt_.ready() || sync_ != Sync::Done || ack_count_ > 0 || event_count_ > 0 || info_due_ || status_due_ || telemetry_due_)
    return false;
  for (uint8_t i = 0; i < slots_; i++)
    if (state_due_[i]) return false;
  return true;
}

void BpuApp::publish_next(uint32_t now) {
  if (!mqtt_.ready()) return;
  if (sync_ != Sync::Done) {
    publish_sync(now);
    return;
  }
  if (now - republished_ >= kRepublishMs) republish_all();
  if (ack_count_ > 0) {
    if (publish_ack(acks_[0], now)) in_flight_ = InFlight::Ack;
    return;
  }
  if (event_count_ > 0) {
    if (publish_event(events_[0], now)) in_flight_ = InFlight::Event;
    return;
  }
  if (info_due_) {
    info_due_ = !publish_info(now);
    return;
  }
  for (uint8_t i = 0; i < slots_; i++) {
    if (!state_due_[i]) continue;
    state_due_[i] = !publish_state(i, now);
    return;
  }
  if (status_due_) {
    status_due_ = !publish_status(now);
    return;
  }
  if (telemetry_due_ || now - telemetry_at_ >= kTelemetryMs) {
    telemetry_due_ = false;
    telemetry_at_ = now;
    publish_telemetry(now);
    return;
  }
  for (uint8_t i = 0; i < slots_; i++) {
    if (view_[i].power != Power::On) {
      slot_telemetry_at_[i] = now;
    } else if (now - slot_telemetry_at_[i] >= kSlotTelemetryMs) {
      slot_telemetry_at_[i] = now;
      publish_slot_telemetry(i, now);
      return;
    }
  }
}

// Info, every state, then status: who sees `online` has the rest already.
bool BpuApp::publish_sync(uint32_t now) {
  switch (sync_) {
    case Sync::Info:
      if (!publish_info(now)) return false;
      sync_ = Sync::States;
      return true;
    case Sync::States:
      if (!publish_state(sync_slot_, now)) return false;
      state_due_[sync_slot_] = false;
      if (++sync_slot_ == slots_) sync_ = Sync::Status;
      return true;
    case Sync::Status:
      if (!publish_status(now)) return false;
      sync_ = Sync::Done;
      return true;
    case Sync::Done:
      break;
  }
  return false;
}

// Publishes text_ under bpu/{id}/leaf, or bpu/{id}/slot/{n}/leaf when slot is not 0.
bool BpuApp::send(const char* leaf, uint8_t slot, uint8_t qos, bool retain, uint32_t now) {
  char topic[80];
  TextWriter writer(topic, sizeof topic);
  writer.text("caddyshack/v1/bpu/").text(config_.id).character('/');
  if (slot != 0) writer.text("slot/").number(slot).character('/');
  writer.text(leaf);
  return mqtt_.publish(topic, Text{text_, strlen(text_)}, qos, retain, now);
}

bool BpuApp::publish_info(uint32_t now) {
  char ip[40], mac[18];
  uint8_t address[6] = {};
  hal_.chip.ip(ip, sizeof ip);
  hal_.chip.mac(address);
  TextWriter writer(mac, sizeof mac);
  for (uint8_t i = 0; i < 6; i++) {
    if (i > 0) writer.character(':');
    writer.hex(address + i, 1);
  }
  char version[20];
  const uint32_t number = hal_.flash.running_version();
  TextWriter(version, sizeof version)
      .number(number / 10000).character('.').number(number / 100 % 100).character('.').number(number % 100);
  JsonWriter json(text_, sizeof text_);
  json.string("fw", version).string("hw", kHardware).number("slots", slots_).number("proto", 1);
  json.number("boot", boot_).string("reset", hal_.chip.reset_reason()).string("ip", ip).string("mac", mac);
  json.number("min", update_.minimum_version()).string("update", update_.report());
  return json.end() && send("info", 0, 1, true, now);
}

bool BpuApp::publish_status(uint32_t now) {
  copy_text(text_, sizeof text_, "online");
  return send("status", 0, 1, true, now);
}

bool BpuApp::publish_state(uint8_t slot, uint32_t now) {
  const SlotView& view = view_[slot];
  JsonWriter json(text_, sizeof text_);
  json.string("power", name(view.power)).string("want", view.want ? "on" : "off").number("type", view.type);
  json.boolean("always_on", view.always_on).boolean("alive", view.alive).boolean("pgood", view.pgood);
  json.string("why", name(view.why)).string("last", last_[slot].text).number("seq", seq_[slot]);
  json.number("boot", boot_).number("epoch", fence_[slot].epoch()).string("led", name(view.led));
  return json.end() && send("state", static_cast<uint8_t>(slot + 1), 1, true, now);
}

bool BpuApp::publish_ack(const Ack& ack, uint32_t now) {
  const bool ok = ack.code == Code::Done || ack.code == Code::Accepted || ack.code == Code::Dup;
  JsonWriter json(text_, sizeof text_);
  json.string("id", ack.id.text).boolean("ok", ok).string("code", name(ack.code));
  return json.end() && send("ack", ack.slot, 1, false, now);
}

bool BpuApp::publish_event(const PendingEvent& event, uint32_t now) {
  JsonWriter json(text_, sizeof text_);
  json.string("ev", name(event.event)).number("seq", event.seq);
  return json.end() && send("event", event.slot, 1, false, now);
}

bool BpuApp::publish_telemetry(uint32_t now) {
  JsonWriter json(text_, sizeof text_);
  json.number("up", uptime_s()).signed_number("rssi", hal_.chip.rssi()).number("heap", hal_.chip.free_heap());
  json.number("bus_mv", hal_.chip.bus_mv()).number("loop_ms", loop_max_ms_);
  const uint32_t connects = mqtt_.counters().connects;
  json.number("reconn", connects > 0 ? connects - 1 : 0).number("dropped", dropped_ + mqtt_.counters().oversize);
  json.number("chain", chain_errors_);
  loop_max_ms_ = 0;
  return json.end() && send("telemetry", 0, 0, false, now);
}

bool BpuApp::publish_slot_telemetry(uint8_t slot, uint32_t now) {
  JsonWriter json(text_, sizeof text_);
  json.signed_number("ma", milliamps_[slot]).number("mv", millivolts_[slot]);
  json.number("mwh", energy_[slot].milliwatt_hours());
  return json.end() && send("telemetry", static_cast<uint8_t>(slot + 1), 0, false, now);
}

}  // namespace bpu
