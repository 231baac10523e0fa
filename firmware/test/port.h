// What a platform gives to the tests.
#pragma once

#include <stddef.h>
#include <stdint.h>

extern "C" {
void port_write(const char* text, size_t size);
// Fills the unused stack with a pattern, and tells how far down from here it was used since; 0 where the
// platform cannot tell.
void port_paint_stack(void);
uint32_t port_stack_used(void);
// How much of an exhaustive test to do: every n-th case. 1 = all.
uint32_t port_stride(void);
}
