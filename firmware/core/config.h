// What a unit is told at set-up and keeps.
#pragma once

#include "hal.h"
#include "json_read.h"
#include "json_write.h"

namespace bpu {

enum class Policy : uint8_t { Off, Last, On };
const char* name(Policy value);

// An uncompressed P-256 point: 0x04, x, y.
constexpr size_t kPublicKey = 65;
constexpr uint8_t kKeySlots = 2;

// Kept as it is in memory, with a version and a checksum around it.
struct Config {
  char id[24] = "";             // on the bus; a-z 0-9 -; empty: bpu-<last 6 hex of the MAC>
  char ssid[33] = "";
  char wifi_password[65] = "";
  char host[64] = "";           // of the broker
  char user[24] = "";           // empty: the id
  char password[65] = "";
  uint16_t port = 8883;
  uint8_t tls = 1;
  uint8_t keys = 0;             // bit n: key n is set
  uint8_t key[kKeySlots][kPublicKey] = {};  // of the broker; either is good, so that it can be changed
  Policy policy = Policy::Last;
  uint8_t index = 0;            // of the unit in the chassis, for the stagger
  uint16_t hold_s = 300;
  uint16_t stagger_ms = 1000;
  uint16_t wait_s = 90;         // graceful shutdown before the power is cut
};

bool load_config(Storage& storage, Config& config);
bool save_config(Storage& storage, const Config& config);

// True for 1 to capacity-1 characters of a-z 0-9 -.
bool valid_name(const char* text);

// Takes policy, hold_s, stagger_ms and index, as the bus may set them. False, and config untouched, when one of
// them is wrong.
bool apply_bus_settings(const JsonObject& from, Config& config);

// Takes these and everything else, as the serial port may set it.
bool apply_all_settings(const JsonObject& from, Config& config);

// Fills in the id from the hardware when none was given.
void complete_config(Chip& chip, Config& config);

// True when there is enough to connect with.
bool ready_to_connect(const Config& config);

}  // namespace bpu
