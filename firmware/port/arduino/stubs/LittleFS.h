// Declarations only; see README.md.
#pragma once

#include "Arduino.h"

class File {
 public:
  operator bool() const;
  size_t size() const;
  int read(uint8_t* data, size_t size);
  size_t write(const uint8_t* data, size_t size);
  void close();
};

class FS {
 public:
  bool begin();
  bool format();
  File open(const char* path, const char* mode);
  bool rename(const char* from, const char* to);
};
extern FS LittleFS;
