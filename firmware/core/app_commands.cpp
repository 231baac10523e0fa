// Messages that come in: the rules by which a unit judges a command, in the order of the contract.
#include <string.h>

#include "app_bpu.h"

namespace bpu {

namespace {

constexpr size_t kMaxPayload = 448;
constexpr char kRoot[] = "caddyshack/v1/";

bool strip(Text& text, const char* prefix) {
  const size_t size = strlen(prefix);
  if (text.size < size || memcmp(text.data, prefix, size) != 0) return false;
  text.data += size;
  text.size -= size;
  return true;
}

bool parse_op(const JsonObject& json, Op& op) {
  static const struct {
    const char* word;
    Op op;
  } kOps[] = {{"on", Op::On},       {"off", Op::Off},     {"shutdown", Op::Shutdown}, {"cycle", Op::Cycle},
              {"reset", Op::Reset}, {"identify", Op::Identify}, {"led", Op::Led}};
  char word[12];
  if (json.string("op", word, sizeof word) != Field::Ok) return false;
  for (const auto& one : kOps) {
    if (strcmp(one.word, word) != 0) continue;
    op = one.op;
    return true;
  }
  return false;
}

bool parse_led(const JsonObject& json, Op op, LedMode& led) {
  if (!json.has("led")) return op != Op::Led;
  constexpr LedMode kModes[] = {LedMode::Off, LedMode::On, LedMode::Blink};
  char word[8];
  if (json.string("led", word, sizeof word) != Field::Ok) return false;
  for (const LedMode mode : kModes) {
    if (strcmp(word, name(mode)) != 0) continue;
    led = mode;
    return true;
  }
  return false;
}

bool parse_wait(const JsonObject& json, uint16_t& wait_s) {
  uint32_t value = 0;
  const Field field = json.number("wait_s", value);
  if (field == Field::Absent) return true;
  if (field == Field::Wrong || value < 1 || value > 600) return false;
  wait_s = static_cast<uint16_t>(value);
  return true;
}

bool parse_id(const JsonObject& json, CommandId& id) {
  return json.string("id", id.text, sizeof id.text) == Field::Ok && valid_name(id.text);
}

}  // namespace

void BpuApp::mqtt_message(const mqtt::Publish& message) {
  Text topic = message.topic;
  if (!strip(topic, kRoot)) return drop();
  if (topic.is("controller/status")) return controller_message(message.payload);
  // A retained command would replay with every connection.
  if (message.retain || message.payload.size > kMaxPayload) return drop();
  if (!strip(topic, "bpu/") || !strip(topic, config_.id)) return drop();
  if (topic.is("/cmd")) return unit_command(message.payload);
  if (!strip(topic, "/slot/") || topic.size < 1) return drop();
  const uint8_t digit = static_cast<uint8_t>(topic.data[0]);
  topic.data++;
  topic.size--;
  if (!topic.is("/cmd") || digit < '1' || digit >= '1' + slots_) return drop();
  slot_command(static_cast<uint8_t>(digit - '1'), message.payload);
}

void BpuApp::controller_message(Text payload) {
  if (payload.is("ready"))
    controller_ready_ = true;
  else if (payload.is("offline"))
    controller_ready_ = false;
  else
    drop();
}

void BpuApp::slot_command(uint8_t slot, Text payload) {
  JsonObject json;
  CommandId id;
  if (!json.parse(payload.data, payload.size) || !parse_id(json, id)) return drop();
  // Not done when it cannot be answered: the sender will ask again.
  if (ack_count_ == kAcks) return drop();
  Code code;
  if (fence_[slot].seen(id)) {
    uint32_t boot = 0, epoch = 0;
    if (json.number("boot", boot) == Field::Ok && boot == boot_ && json.number("epoch", epoch) == Field::Ok &&
        epoch > fence_[slot].epoch()) {
      fence_[slot].raise(epoch);
      touched_[slot] = true;
    }
    code = Code::Dup;
  } else {
    code = run_slot_command(slot, json);
    if (code == Code::Done || code == Code::Accepted) {
      fence_[slot].remember(id);
      last_[slot] = id;
      touched_[slot] = true;
    }
  }
  answer(static_cast<uint8_t>(slot + 1), id, code);
}

Code BpuApp::run_slot_command(uint8_t slot, const JsonObject& json) {
  Op op = Op::On;
  LedMode led = LedMode::Off;
  uint16_t wait_s = 0;
  uint32_t epoch = 0;
  if (!parse_op(json, op) || json.number("epoch", epoch) != Field::Ok || !parse_wait(json, wait_s) ||
      !parse_led(json, op, led))
    return Code::Bad;
  const Code fenced = check_boot_and_time(json);
  if (fenced == Code::Bad || fenced == Code::Stale) return fenced;
  if (epoch < fence_[slot].epoch()) return Code::Stale;
  if (epoch > fence_[slot].epoch()) {
    fence_[slot].raise(epoch);
    touched_[slot] = true;
  }
  if (fenced != Code::Done) return fenced;
  // What cannot be read back is not switched.
  if (blind() && op != Op::Identify && op != Op::Led) return Code::Fault;
  if (op == Op::Shutdown && wait_s == 0) wait_s = config_.wait_s;
  return slot_[slot].command(op, wait_s, led);
}

// Done: fresh and meant for this life of the unit. A wrong boot number goes before a late one.
Code BpuApp::check_boot_and_time(const JsonObject& json) const {
  uint32_t boot = 0, expires = 0;
  if (json.number("boot", boot) != Field::Ok || json.number("exp", expires) != Field::Ok) return Code::Bad;
  if (boot != boot_) return Code::Stale;
  return uptime_s() > expires ? Code::Expired : Code::Done;
}

void BpuApp::unit_command(Text payload) {
  JsonObject json;
  CommandId id;
  if (!json.parse(payload.data, payload.size) || !parse_id(json, id)) return drop();
  if (ack_count_ == kAcks) return drop();
  Code code = Code::Dup;
  if (!unit_fence_.seen(id)) {
    code = run_unit_command(json);
    if (code == Code::Done || code == Code::Accepted) unit_fence_.remember(id);
  }
  answer(0, id, code);
}

Code BpuApp::run_unit_command(const JsonObject& json) {
  char op[12];
  if (json.string("op", op, sizeof op) != Field::Ok) return Code::Bad;
  const bool config = strcmp(op, "config") == 0, resync = strcmp(op, "resync") == 0;
  const bool reboot = strcmp(op, "reboot") == 0, ota = strcmp(op, "ota") == 0;
  if (!config && !resync && !reboot && !ota) return Code::Bad;
  Config next = config_;
  if (config && !apply_bus_settings(json, next)) return Code::Bad;
  UpdateOrder order;
  if (ota && !order.parse(json)) return Code::Bad;
  const Code fenced = check_boot_and_time(json);
  if (fenced != Code::Done) return fenced;
  if (resync) {
    republish_all();
    telemetry_due_ = true;
    return Code::Done;
  }
  if (reboot) {
    restart_ = true;
    return Code::Accepted;
  }
  if (ota) {
    if (pressing() || restart_) return Code::Busy;
    return update_.begin(order) ? Code::Accepted : Code::Busy;
  }
  if (!save_config(hal_.storage, next)) return Code::Fault;
  config_ = next;
  return Code::Done;
}

void BpuApp::answer(uint8_t slot, const CommandId& id, Code code) {
  Ack& ack = acks_[ack_count_++];
  ack.slot = slot;
  ack.id = id;
  ack.code = code;
}

}  // namespace bpu
