#include "rtc_image.h"

#include <string.h>

#include "crc32.h"

namespace bpu {

namespace {

constexpr uint32_t kMagic = 0xcadd0000u;

void pack(const SlotImage slots[kMaxSlots], uint32_t payload[4]) {
  payload[0] = payload[1] = payload[2] = payload[3] = 0;
  for (uint8_t i = 0; i < kMaxSlots; i++) {
    payload[0] |= static_cast<uint32_t>(slots[i].outputs) << (8 * i);
    payload[1] |= static_cast<uint32_t>(slots[i].flags) << (8 * i);
    payload[2 + i / 2] |= static_cast<uint32_t>(slots[i].wait_s) << (16 * (i % 2));
  }
}

}  // namespace

bool RtcImage::load_copy(uint8_t copy, uint32_t words[kWordsPerCopy]) {
  for (uint8_t i = 0; i < kWordsPerCopy; i++)
    words[i] = memory_.read(static_cast<uint8_t>(kFirstWord + copy * kWordsPerCopy + i));
  return (words[0] & 0xffff0000u) == kMagic && words[5] == crc32(words, 5 * sizeof(uint32_t));
}

bool RtcImage::load(SlotImage slots[kMaxSlots]) {
  uint32_t a[kWordsPerCopy], b[kWordsPerCopy];
  const bool has_a = load_copy(0, a), has_b = load_copy(1, b);
  if (!has_a && !has_b) return false;
  const bool use_a = has_a && (!has_b || static_cast<int16_t>(a[0] - b[0]) > 0);
  const uint32_t* words = use_a ? a : b;
  sequence_ = static_cast<uint16_t>(words[0]);
  next_copy_ = use_a ? 1 : 0;
  memcpy(last_, words + 1, sizeof last_);
  saved_ = true;
  for (uint8_t i = 0; i < kMaxSlots; i++) {
    slots[i].outputs = static_cast<uint8_t>(last_[0] >> (8 * i));
    slots[i].flags = static_cast<uint8_t>(last_[1] >> (8 * i));
    slots[i].wait_s = static_cast<uint16_t>(last_[2 + i / 2] >> (16 * (i % 2)));
  }
  return true;
}

void RtcImage::save(const SlotImage slots[kMaxSlots]) {
  uint32_t words[kWordsPerCopy];
  pack(slots, words + 1);
  if (saved_ && memcmp(words + 1, last_, sizeof last_) == 0) return;
  memcpy(last_, words + 1, sizeof last_);
  saved_ = true;
  words[0] = kMagic | ++sequence_;
  words[5] = crc32(words, 5 * sizeof(uint32_t));
  for (uint8_t i = 0; i < kWordsPerCopy; i++)
    memory_.write(static_cast<uint8_t>(kFirstWord + next_copy_ * kWordsPerCopy + i), words[i]);
  next_copy_ ^= 1;
}

}  // namespace bpu
