// Which commands a unit has done already, and for whom.
#pragma once

#include "text.h"

namespace bpu {

// 1 to 36 of a-z 0-9 -.
struct CommandId {
  char text[37] = "";
};

// The last 8 accepted ids and the highest epoch of one slot (the unit itself has one too, without epochs). In
// RAM only: a restart changes the boot number, which refuses every command made before.
class Fence {
 public:
  bool seen(const CommandId& id) const {
    for (const CommandId& one : ids_)
      if (one.text[0] != 0 && strcmp(one.text, id.text) == 0) return true;
    return false;
  }

  void remember(const CommandId& id) {
    ids_[next_] = id;
    next_ = static_cast<uint8_t>((next_ + 1) % kIds);
  }

  uint32_t epoch() const { return epoch_; }
  void raise(uint32_t epoch) {
    if (epoch > epoch_) epoch_ = epoch;
  }

 private:
  static constexpr uint8_t kIds = 8;
  CommandId ids_[kIds];
  uint8_t next_ = 0;
  uint32_t epoch_ = 0;
};

}  // namespace bpu
