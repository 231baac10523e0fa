#include "config.h"

#include "crc32.h"

namespace bpu {

namespace {

constexpr uint32_t kVersion = 0xcadd0001u;

struct Record {
  uint32_t version;
  uint32_t checksum;
  Config config;
};

// Takes a number in [low, high] when there; false when it is there and wrong.
template <typename T>
bool take(const JsonObject& from, const char* key, uint32_t low, uint32_t high, T& out) {
  uint32_t value = 0;
  const Field field = from.number(key, value);
  if (field == Field::Absent) return true;
  if (field == Field::Wrong || value < low || value > high) return false;
  out = static_cast<T>(value);
  return true;
}

bool take(const JsonObject& from, const char* key, char* out, size_t capacity) {
  if (!from.has(key)) return true;
  return from.string(key, out, capacity) == Field::Ok;
}

bool take_key(const JsonObject& from, const char* name, uint8_t slot, Config& config) {
  char hex[2 * kPublicKey + 1];
  const Field field = from.string(name, hex, sizeof hex);
  if (field == Field::Absent) return true;
  if (field == Field::Wrong) return false;
  const uint8_t bit = static_cast<uint8_t>(1 << slot);
  if (hex[0] == 0) {
    config.keys = static_cast<uint8_t>(config.keys & ~bit);
    return true;
  }
  if (!parse_hex(Text{hex, strlen(hex)}, config.key[slot], kPublicKey) || config.key[slot][0] != 4) return false;
  config.keys |= bit;
  return true;
}

}  // namespace

const char* name(Policy value) {
  static const char* const kNames[] = {"off", "last", "on"};
  return kNames[static_cast<uint8_t>(value)];
}

bool load_config(Storage& storage, Config& config) {
  Record record;
  if (storage.load("config", &record, sizeof record) != static_cast<int>(sizeof record)) return false;
  if (record.version != kVersion || record.checksum != crc32(&record.config, sizeof record.config)) return false;
  config = record.config;
  return true;
}

bool save_config(Storage& storage, const Config& config) {
  Record record;
  memset(static_cast<void*>(&record), 0, sizeof record);
  record.version = kVersion;
  memcpy(static_cast<void*>(&record.config), &config, sizeof config);
  record.checksum = crc32(&record.config, sizeof record.config);
  return storage.save("config", &record, sizeof record);
}

bool valid_name(const char* text) {
  if (text[0] == 0) return false;
  for (; *text; text++) {
    const char c = *text;
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

bool apply_bus_settings(const JsonObject& from, Config& config) {
  Config next = config;
  if (from.has("policy")) {
    char word[8];
    if (from.string("policy", word, sizeof word) != Field::Ok) return false;
    bool known = false;
    constexpr Policy kPolicies[] = {Policy::Off, Policy::Last, Policy::On};
    for (const Policy policy : kPolicies) {
      if (strcmp(word, name(policy)) != 0) continue;
      next.policy = policy;
      known = true;
    }
    if (!known) return false;
  }
  if (!take(from, "hold_s", 0, 3600, next.hold_s) || !take(from, "stagger_ms", 0, 60000, next.stagger_ms) ||
      !take(from, "index", 0, 63, next.index))
    return false;
  config = next;
  return true;
}

bool apply_all_settings(const JsonObject& from, Config& config) {
  Config next = config;
  bool tls = next.tls != 0;
  const Field has_tls = from.boolean("tls", tls);
  next.tls = tls ? 1 : 0;
  if (has_tls == Field::Wrong || !apply_bus_settings(from, next) || !take(from, "id", next.id, sizeof next.id) ||
      !take(from, "ssid", next.ssid, sizeof next.ssid) ||
      !take(from, "wifi_password", next.wifi_password, sizeof next.wifi_password) ||
      !take(from, "host", next.host, sizeof next.host) || !take(from, "port", 1, 65535, next.port) ||
      !take(from, "user", next.user, sizeof next.user) ||
      !take(from, "password", next.password, sizeof next.password) ||
      !take(from, "wait_s", 1, 600, next.wait_s) || !take_key(from, "key0", 0, next) ||
      !take_key(from, "key1", 1, next))
    return false;
  if (next.id[0] != 0 && !valid_name(next.id)) return false;
  config = next;
  return true;
}

void complete_config(Chip& chip, Config& config) {
  if (config.id[0] != 0) return;
  uint8_t mac[6] = {};
  chip.mac(mac);
  TextWriter(config.id, sizeof config.id).text("bpu-").hex(mac + 3, 3);
}

bool ready_to_connect(const Config& config) {
  // Without a pinned key a TLS connection would prove nothing.
  return config.host[0] != 0 && (!config.tls || config.keys != 0);
}

}  // namespace bpu
