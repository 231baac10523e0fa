// The core's hardware interfaces on the ESP8266 Arduino core. Nothing here decides anything.
#pragma once

#include <ESP8266WiFi.h>
#include <WiFiClientSecureBearSSL.h>

#include "../../core/hal.h"

namespace arduino_port {

class Board final : public bpu::Clock, public bpu::Gpio, public bpu::I2c, public bpu::RtcMemory {
 public:
  void begin();
  uint32_t ms() override;
  void write(bpu::Pin pin, bool high) override;
  bool read(bpu::Pin pin) override;
  bool write(uint8_t address, const uint8_t* data, size_t size) override;
  bool read(uint8_t address, uint8_t* data, size_t size) override;
  uint32_t read(uint8_t word) override;
  void write(uint8_t word, uint32_t value) override;
};

// One file per record on LittleFS, written aside and renamed.
class Files final : public bpu::Storage {
 public:
  void begin();
  int load(const char* name, void* data, size_t size) override;
  bool save(const char* name, const void* data, size_t size) override;
};

// open blocks: up to kConnectMs for TCP and some two seconds more for the TLS handshake.
class Connection final : public bpu::Transport {
 public:
  static constexpr uint32_t kConnectMs = 5000;
  void open(const char* host, uint16_t port, const bpu::Pins* pins) override;
  bpu::NetState state() override;
  int read(uint8_t* data, size_t size) override;
  int write(const uint8_t* data, size_t size) override;
  void close() override;

 private:
  WiFiClient& client() { return secure_ ? tls_ : plain_; }

  WiFiClient plain_;
  BearSSL::WiFiClientSecure tls_;
  BearSSL::PublicKey key_;
  bool secure_ = false;
  uint8_t turn_ = 0;  // which pinned key the next attempt expects
};

class ProgramFlash final : public bpu::Flash {
 public:
  bool read(uint32_t address, void* data, size_t size) override;
  bool erase(uint32_t address) override;
  bool write(uint32_t address, const void* data, size_t size) override;
  uint32_t running_size() override;
  uint32_t running_version() override;
  void order_copy(uint32_t from, uint32_t size) override;
};

class Signatures final : public bpu::Verifier {
 public:
  bool verify(const uint8_t digest[32], const uint8_t signature[256]) override;
};

class UsbSerial final : public bpu::Console {
 public:
  int read() override;
  void write(const char* text, size_t size) override;
};

class Esp final : public bpu::Chip {
 public:
  uint32_t random() override;
  void restart() override;
  const char* reset_reason() override;
  uint32_t free_heap() override;
  int rssi() override;
  uint16_t bus_mv() override;
  bool link_up() override;
  void ip(char* out, size_t size) override;
  void mac(uint8_t out[6]) override;
};

}  // namespace arduino_port
