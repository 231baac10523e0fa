// What the unit was about to do, kept where a reset of the MCU cannot reach.
#pragma once

#include "hal.h"
#include "pinmap_d1mini.h"

namespace bpu {

// Per slot: the output byte of its 594 and what else is needed to go on after a reset.
struct SlotImage {
  uint8_t outputs = 0;
  uint8_t flags = 0;     // Slot's own
  uint16_t wait_s = 0;   // graceful wait of a shutdown under way
};

// Two copies are written in turn, each with a sequence number and a checksum, so that a reset between two
// words leaves the copy that was latched last.
class RtcImage {
 public:
  explicit RtcImage(RtcMemory& memory) : memory_(memory) {}

  // False when neither copy is whole: power was lost.
  bool load(SlotImage slots[kMaxSlots]);
  // Writes only when something differs from the last save.
  void save(const SlotImage slots[kMaxSlots]);

 private:
  static constexpr uint8_t kWordsPerCopy = 6;
  static constexpr uint8_t kFirstWord = 0;
  bool load_copy(uint8_t copy, uint32_t words[kWordsPerCopy]);

  RtcMemory& memory_;
  uint16_t sequence_ = 0;
  uint8_t next_copy_ = 0;
  bool saved_ = false;
  uint32_t last_[4] = {};
};

}  // namespace bpu
