#include <cstdio>

#include "port.h"

void port_write(const char* text, size_t size) { fwrite(text, 1, size, stdout); }
void port_paint_stack(void) {}
uint32_t port_stack_used(void) { return 0; }
uint32_t port_stride(void) { return 1; }
