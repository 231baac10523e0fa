// Declarations only; see README.md.
#pragma once

#include <stdint.h>

enum action_t { ACTION_COPY_RAW = 1 };
struct eboot_command {
  uint32_t magic;
  action_t action;
  uint32_t args[29];
  uint32_t crc32;
};
extern "C" void eboot_command_write(eboot_command* command);
