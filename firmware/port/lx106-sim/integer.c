/* Integer helpers that the chip has in its mask ROM and Debian's libgcc for it therefore lacks. */
#include <stdint.h>

static uint64_t divide(uint64_t n, uint64_t d, uint64_t *rest) {
  uint64_t quotient = 0, remainder = 0;
  for (int bit = 63; bit >= 0; bit--) {
    remainder = remainder << 1 | ((n >> bit) & 1);
    if (remainder >= d) {
      remainder -= d;
      quotient |= (uint64_t)1 << bit;
    }
  }
  *rest = remainder;
  return quotient;
}

static uint32_t divide32(uint32_t n, uint32_t d, uint32_t *rest) {
  uint32_t quotient = 0, remainder = 0;
  for (int bit = 31; bit >= 0; bit--) {
    remainder = remainder << 1 | ((n >> bit) & 1);
    if (remainder >= d) {
      remainder -= d;
      quotient |= (uint32_t)1 << bit;
    }
  }
  *rest = remainder;
  return quotient;
}

uint32_t __udivsi3(uint32_t n, uint32_t d) { uint32_t r; return divide32(n, d, &r); }
uint32_t __umodsi3(uint32_t n, uint32_t d) { uint32_t r; divide32(n, d, &r); return r; }
int32_t __divsi3(int32_t n, int32_t d) {
  uint32_t r, q = divide32(n < 0 ? 0u - (uint32_t)n : (uint32_t)n, d < 0 ? 0u - (uint32_t)d : (uint32_t)d, &r);
  return (int32_t)((n < 0) != (d < 0) ? 0u - q : q);
}
int32_t __modsi3(int32_t n, int32_t d) { return n - __divsi3(n, d) * d; }
uint64_t __udivdi3(uint64_t n, uint64_t d) { uint64_t r; return divide(n, d, &r); }
uint64_t __umoddi3(uint64_t n, uint64_t d) { uint64_t r; divide(n, d, &r); return r; }

uint64_t __muldi3(uint64_t a, uint64_t b) {
  const uint32_t al = (uint32_t)a, ah = (uint32_t)(a >> 32), bl = (uint32_t)b, bh = (uint32_t)(b >> 32);
  const uint32_t a0 = al & 0xffff, a1 = al >> 16, b0 = bl & 0xffff, b1 = bl >> 16;
  const uint32_t p00 = a0 * b0, p01 = a0 * b1, p10 = a1 * b0, p11 = a1 * b1;
  const uint32_t middle = (p00 >> 16) + (p01 & 0xffff) + (p10 & 0xffff);
  const uint32_t high = p11 + (p01 >> 16) + (p10 >> 16) + (middle >> 16);
  return (uint64_t)(high + al * bh + ah * bl) << 32 | (middle << 16 | (p00 & 0xffff));
}
