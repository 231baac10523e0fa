#include "port.h"

namespace {

constexpr uint32_t kWatched = 8192;  // bytes below the caller that are painted
constexpr uint32_t kPattern = 0xc0dec0de;

uintptr_t stack_pointer() {
  uintptr_t a1;
  __asm__ volatile("mov %0, a1" : "=r"(a1));
  return a1;
}

}  // namespace

extern "C" {

void port_paint_stack(void) {
  const uintptr_t top = stack_pointer() - 64;  // clear of this function's own frame
  for (uintptr_t at = top - kWatched; at < top; at += 4) *reinterpret_cast<volatile uint32_t*>(at) = kPattern;
}

uint32_t port_stack_used(void) {
  const uintptr_t here = stack_pointer();
  uintptr_t at = here - kWatched + 256;
  while (at < here && *reinterpret_cast<volatile uint32_t*>(at) == kPattern) at += 4;
  return static_cast<uint32_t>(here - at);
}

uint32_t port_stride(void) { return 41; }
}
