/* Calls of the simulator: a2 = number, a3.. = arguments, result in a2. */
#include <stddef.h>
#include <stdint.h>

enum { kWrite = 4 };

static int call(int number, int a, int b, int c) {
  register int a2 __asm__("a2") = number;
  register int a3 __asm__("a3") = a;
  register int a4 __asm__("a4") = b;
  register int a5 __asm__("a5") = c;
  __asm__ volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
  return a2;
}

void port_write(const char *text, size_t size) { call(kWrite, 1, (int)(uintptr_t)text, (int)size); }
