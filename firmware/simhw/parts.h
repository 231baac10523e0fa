// The rest of a simulated unit: files, program flash and the chip. All of it obeys the board's cut.
#pragma once

#include <string.h>

#include "../core/crc32.h"
#include "board.h"

namespace simhw {

// Records that survive a loss of power. Each save is one operation, atomic as on the chip.
class Records final : public bpu::Storage {
 public:
  explicit Records(Board& board) : board_(board) {}

  int load(const char* name, void* data, size_t size) override {
    Record* record = find(name);
    if (!record || record->size > size) return -1;
    memcpy(data, record->data, record->size);
    return static_cast<int>(record->size);
  }

  bool save(const char* name, const void* data, size_t size) override {
    if (!board_.operate_write() || broken || size > sizeof records_[0].data) return false;
    Record* record = find(name);
    for (Record& one : records_)
      if (!record && one.name[0] == 0) record = &one;
    if (!record) return false;
    strncpy(record->name, name, sizeof record->name - 1);
    memcpy(record->data, data, size);
    record->size = size;
    saves++;
    return true;
  }

  void forget() {
    for (Record& one : records_) one.name[0] = 0;
  }

  bool broken = false;
  uint32_t saves = 0;

 private:
  struct Record {
    char name[12] = "";
    size_t size = 0;
    uint8_t data[640];
  };
  Record* find(const char* name) {
    for (Record& one : records_)
      if (strcmp(one.name, name) == 0) return &one;
    return nullptr;
  }

  Board& board_;
  Record records_[8];
};

// 3 MiB of NOR flash and the boot loader that copies over the running image. The image's first words tell its
// version and size, so a torn copy is seen.
class NorFlash final : public bpu::Flash {
 public:
  static constexpr uint32_t kSize = 3u << 20;
  struct ImageHead {
    uint32_t magic, version, size, crc;
  };
  static constexpr uint32_t kImageMagic = 0x1ea9e900;

  // memory: kSize bytes that outlive this.
  NorFlash(Board& board, uint8_t* memory) : board_(board), memory_(memory) {}

  bool read(uint32_t address, void* data, size_t size) override {
    if (address > kSize || size > kSize - address) return false;
    memcpy(data, memory_ + address, size);
    return true;
  }

  bool erase(uint32_t address) override {
    if (address % kSector != 0 || address >= kSize || broken) return false;
    if (!board_.operate_write()) return true;  // the MCU is dead: it learns nothing
    memset(memory_ + address, 0xff, kSector);
    return true;
  }

  bool write(uint32_t address, const void* data, size_t size) override {
    if (address % 4 != 0 || size % 4 != 0 || address > kSize || size > kSize - address || broken) return false;
    const uint8_t* bytes = static_cast<const uint8_t*>(data);
    if (worn) return true;
    const bool whole = board_.operate_write();
    // A cut in a write leaves half of it.
    const size_t done = whole ? size : cut_once() ? size / 2 : 0;
    for (size_t i = 0; i < done; i++) memory_[address + i] &= bytes[i];
    return true;
  }

  uint32_t running_size() override { return head(0).size; }
  uint32_t running_version() override { return head(0).version; }

  void order_copy(uint32_t from, uint32_t size) override {
    if (!board_.operate_write()) return;
    from_ = from;
    copy_ = size;
  }

  ImageHead head(uint32_t address) const {
    ImageHead head;
    memcpy(&head, memory_ + address, sizeof head);
    return head;
  }

  // True when a whole image is at the address.
  bool whole(uint32_t address) const {
    const ImageHead h = head(address);
    return h.magic == kImageMagic && h.size >= sizeof h && h.size < (1u << 20) &&
           bpu::crc32(memory_ + address + sizeof h, h.size - sizeof h) == h.crc;
  }

  // What the boot loader does at a restart; false when power was lost in it (sectors = how many it may copy).
  bool boot(uint32_t sectors = 0xffffffffu) {
    const uint32_t size = copy_;
    copy_ = 0;  // the order is forgotten before it is done, as on the chip
    for (uint32_t at = 0; at < size; at += kSector) {
      if (sectors-- == 0) return false;
      memset(memory_ + at, 0xff, kSector);
      memcpy(memory_ + at, memory_ + from_ + at, size - at < kSector ? size - at : kSector);
    }
    return true;
  }
  bool ordered() const { return copy_ != 0; }
  // RTC memory, where the order is kept, is lost with power.
  void power_loss() { copy_ = 0; }
  void fill(uint32_t address, const void* data, size_t size) { memcpy(memory_ + address, data, size); }
  uint8_t* memory() { return memory_; }

  bool broken = false;  // erasing and writing fail
  bool worn = false;    // writing seems to work and leaves nothing

 private:
  bool cut_once() {
    const bool now = !torn_ && !board_.alive_mcu();
    torn_ = torn_ || now;
    return now;
  }

  Board& board_;
  uint8_t* memory_;
  uint32_t from_ = 0, copy_ = 0;
  bool torn_ = false;

 public:
  // After a restart a write may be torn again.
  void mend() { torn_ = false; }
};

}  // namespace simhw
