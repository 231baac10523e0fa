// Declarations only; see README.md.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

constexpr uint8_t LOW = 0, HIGH = 1, INPUT = 0, OUTPUT = 1, A0 = 17;

unsigned long millis();
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t level);
int digitalRead(uint8_t pin);
int analogRead(uint8_t pin);

class String {
 public:
  const char* c_str() const;
};

class HardwareSerial {
 public:
  void begin(unsigned long baud);
  size_t setRxBufferSize(size_t size);
  int read();
  size_t write(const uint8_t* data, size_t size);
};
extern HardwareSerial Serial;

enum rst_reason {
  REASON_DEFAULT_RST = 0, REASON_WDT_RST = 1, REASON_EXCEPTION_RST = 2, REASON_SOFT_WDT_RST = 3,
  REASON_SOFT_RESTART = 4, REASON_DEEP_SLEEP_AWAKE = 5, REASON_EXT_SYS_RST = 6,
};
struct rst_info {
  uint32_t reason;
};

class EspClass {
 public:
  bool rtcUserMemoryRead(uint32_t offset, uint32_t* data, size_t size);
  bool rtcUserMemoryWrite(uint32_t offset, uint32_t* data, size_t size);
  bool flashEraseSector(uint32_t sector);
  bool flashRead(uint32_t address, uint8_t* data, size_t size);
  bool flashWrite(uint32_t address, const uint8_t* data, size_t size);
  uint32_t getSketchSize();
  uint32_t getFreeHeap();
  uint32_t random();
  void restart();
  rst_info* getResetInfoPtr();
};
extern EspClass ESP;
