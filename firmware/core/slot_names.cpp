#include "slot.h"

namespace bpu {

const char* name(Power value) {
  static const char* const kNames[] = {"empty", "off", "starting", "on", "stopping", "fault"};
  return kNames[static_cast<uint8_t>(value)];
}

const char* name(Why value) {
  static const char* const kNames[] = {"boot",   "command", "policy",   "hold",    "button",   "inserted", "removed",
                                       "halted", "forced",  "overload", "backfed", "no_power", "stuck_on"};
  return kNames[static_cast<uint8_t>(value)];
}

const char* name(Code value) {
  static const char* const kNames[] = {"done", "accepted", "dup",   "busy",    "empty",
                                       "bad",  "fault",    "stale", "expired", "always_on"};
  return kNames[static_cast<uint8_t>(value)];
}

const char* name(LedMode value) {
  static const char* const kNames[] = {"off", "on", "blink"};
  return kNames[static_cast<uint8_t>(value)];
}

const char* name(Event value) {
  static const char* const kNames[] = {"inserted", "removed", "button", "overload", "halted"};
  return kNames[static_cast<uint8_t>(value)];
}

}  // namespace bpu
