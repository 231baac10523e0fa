// Declarations only; see README.md.
#pragma once

#include "Arduino.h"

class TwoWire {
 public:
  void begin(int sda, int scl);
  void setClock(uint32_t hertz);
  void beginTransmission(uint8_t address);
  size_t write(const uint8_t* data, size_t size);
  uint8_t endTransmission();
  size_t requestFrom(uint8_t address, uint8_t size);
  int read();
};
extern TwoWire Wire;
