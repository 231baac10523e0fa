// When slots come on after a loss of power: not before the controller can serve boots, then one by one over the
// whole chassis, so that the supply sees one start at a time.
#pragma once

#include "config.h"

namespace bpu {

class PowerRestore {
 public:
  // uptime_ms since start; ready: the controller has said so, now or before.
  void tick(uint64_t uptime_ms, bool ready, const Config& config) {
    if (released_ || (!ready && uptime_ms < config.hold_s * 1000ull)) return;
    released_ = true;
    released_at_ = uptime_ms;
  }

  // slot counts from 0. An always-on slot may carry the network that the controller is reached by, so it waits
  // for its turn only.
  bool due(uint8_t slot, bool always_on, uint64_t uptime_ms, const Config& config) const {
    const uint64_t turn = (config.index * 4ull + slot) * config.stagger_ms;
    if (always_on) return uptime_ms >= turn;
    return released_ && uptime_ms - released_at_ >= turn;
  }

 private:
  bool released_ = false;
  uint64_t released_at_ = 0;
};

}  // namespace bpu
