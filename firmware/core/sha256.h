// SHA-256 (FIPS 180-4).
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace bpu {

class Sha256 {
 public:
  Sha256() { reset(); }
  void reset();
  void add(const void* data, size_t size);
  void finish(uint8_t digest[32]);

 private:
  void block();

  uint32_t state_[8];
  uint64_t bytes_;
  uint8_t buffer_[64];
};

}  // namespace bpu
