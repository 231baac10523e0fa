#include "provision.h"

#include "version.h"

namespace bpu {

bool Provisioner::tick() {
  changed_ = false;
  // A line's worth at most, so that a chattering port does not keep the slots waiting.
  for (size_t i = 0; i < sizeof in_; i++) {
    const int c = hal_.console.read();
    if (c < 0) break;
    if (c == '\n' || c == '\r') {
      if (size_ > 0 || too_long_) line();
      size_ = 0;
      too_long_ = false;
    } else if (size_ < sizeof in_ - 1) {
      in_[size_++] = static_cast<char>(c);
    } else {
      too_long_ = true;
    }
  }
  return changed_;
}

void Provisioner::line() {
  char out[449];
  JsonWriter answer(out, sizeof out);
  JsonObject json;
  char op[12] = "";
  bool ok;
  if (too_long_ || !json.parse(in_, size_) || json.string("op", op, sizeof op) != Field::Ok) {
    ok = fail(answer, too_long_ ? "line longer than 512 bytes" : "not a JSON object with an op");
  } else {
    uint32_t n = 0;
    if (json.number("n", n) == Field::Ok) answer.number("n", n);
    answer.string("op", op);
    ok = run(json, op, answer);
  }
  answer.boolean("ok", ok);
  answer.end();
  hal_.console.write("@", 1);
  hal_.console.write(out, answer.size());
  hal_.console.write("\n", 1);
}

bool Provisioner::fail(JsonWriter& answer, const char* error) {
  answer.string("error", error);
  return false;
}

bool Provisioner::run(const JsonObject& json, const char* op, JsonWriter& answer) {
  if (strcmp(op, "hello") == 0) {
    hello(answer);
  } else if (strcmp(op, "get") == 0) {
    get(answer);
  } else if (strcmp(op, "status") == 0) {
    answer.boolean("link", hal_.chip.link_up()).boolean("connected", connected_);
  } else if (strcmp(op, "set") == 0) {
    if (!drafting_) draft_ = config_;
    drafting_ = true;
    if (!apply_all_settings(json, draft_)) return fail(answer, "a setting is out of range");
  } else if (strcmp(op, "save") == 0) {
    if (drafting_ && !ready_to_connect(draft_)) return fail(answer, "host and, with tls, key0 or key1 are needed");
    if (drafting_ && !save_config(hal_.storage, draft_)) return fail(answer, "storage failed");
    if (drafting_) config_ = draft_;
    changed_ = drafting_;
    drafting_ = false;
  } else if (strcmp(op, "factory") == 0) {
    if (!save_config(hal_.storage, Config{})) return fail(answer, "storage failed");
    restart_ = true;
  } else if (strcmp(op, "restart") == 0) {
    restart_ = true;
  } else {
    return fail(answer, "unknown op");
  }
  return true;
}

void Provisioner::hello(JsonWriter& answer) {
  uint8_t mac[6] = {};
  hal_.chip.mac(mac);
  answer.number("version", hal_.flash.running_version()).string("hw", kHardware).string("id", config_.id).hex("mac", mac, 6);
  answer.number("boot", boot_).string("reset", hal_.chip.reset_reason());
}

void Provisioner::get(JsonWriter& answer) {
  answer.string("id", config_.id).string("ssid", config_.ssid).string("host", config_.host);
  answer.number("port", config_.port).string("user", config_.user).boolean("tls", config_.tls != 0);
  answer.number("keys", config_.keys).string("policy", name(config_.policy)).number("index", config_.index);
  answer.number("hold_s", config_.hold_s).number("stagger_ms", config_.stagger_ms).number("wait_s", config_.wait_s);
}

}  // namespace bpu
