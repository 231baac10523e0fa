// The hardware as the core sees it. Each port (Arduino, host, tests) implements these interfaces; nothing
// in the core touches a register, a socket or a file by any other way.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace bpu {

// Named pins; pinmap_d1mini.h says where each is on the board.
enum class Pin : uint8_t { Rclk, Sck, Ser, Miso, ShLd, HubReset, Led };

struct Clock {
  // Milliseconds since some moment before start; wraps at 2^32, so only differences mean anything.
  virtual uint32_t ms() = 0;

 protected:
  ~Clock() = default;
};

struct Gpio {
  virtual void write(Pin pin, bool high) = 0;
  virtual bool read(Pin pin) = 0;

 protected:
  ~Gpio() = default;
};

struct I2c {
  // Both return false when the device did not acknowledge.
  virtual bool write(uint8_t address, const uint8_t* data, size_t size) = 0;
  virtual bool read(uint8_t address, uint8_t* data, size_t size) = 0;

 protected:
  ~I2c() = default;
};

// Memory that survives every reset of the MCU but not a loss of power (ESP8266: RTC user memory behind
// the 128 bytes that the boot loader keeps). One word is written whole or not at all.
struct RtcMemory {
  static constexpr uint8_t kWords = 32;
  virtual uint32_t read(uint8_t word) = 0;
  virtual void write(uint8_t word, uint32_t value) = 0;

 protected:
  ~RtcMemory() = default;
};

// Small named records that survive a loss of power. save is atomic: after a cut either the old or the
// new record is there. Each save wears the flash, so the core saves on change only.
struct Storage {
  // Bytes read, or -1 when there is no such record. A record longer than size is -1 too.
  virtual int load(const char* name, void* data, size_t size) = 0;
  virtual bool save(const char* name, const void* data, size_t size) = 0;

 protected:
  ~Storage() = default;
};

enum class NetState : uint8_t { Closed, Opening, Open };

// Public keys of which the server must hold one: uncompressed P-256 points of 65 bytes.
struct Pins {
  const uint8_t* key[2];
  uint8_t count;
};

// One TCP connection, with TLS 1.2 when opened with pins. Nothing here may wait, save open where a platform has
// no other way. pins must stay until close.
struct Transport {
  virtual void open(const char* host, uint16_t port, const Pins* pins) = 0;
  virtual NetState state() = 0;
  // Bytes moved, 0 when it would wait, -1 when the connection is gone.
  virtual int read(uint8_t* data, size_t size) = 0;
  virtual int write(const uint8_t* data, size_t size) = 0;
  virtual void close() = 0;

 protected:
  ~Transport() = default;
};

// Raw program flash. Addresses are from the start of the flash chip.
struct Flash {
  static constexpr uint32_t kSector = 4096;
  virtual bool read(uint32_t address, void* data, size_t size) = 0;
  virtual bool erase(uint32_t address) = 0;  // one sector to all ones
  virtual bool write(uint32_t address, const void* data, size_t size) = 0;  // 4-byte aligned, bits to 0 only
  // Bytes of the image that runs now, from address 0, and its version as in version.h.
  virtual uint32_t running_size() = 0;
  virtual uint32_t running_version() = 0;
  // Tells the boot loader to copy size bytes to address 0 at the next restart.
  virtual void order_copy(uint32_t from, uint32_t size) = 0;

 protected:
  ~Flash() = default;
};

struct Verifier {
  // RSA-2048 PKCS#1 v1.5 signature over a SHA-256 digest, against the key built into the firmware.
  virtual bool verify(const uint8_t digest[32], const uint8_t signature[256]) = 0;

 protected:
  ~Verifier() = default;
};

// The serial port: set-up in, set-up answers and log out.
struct Console {
  virtual int read() = 0;  // next byte or -1
  virtual void write(const char* text, size_t size) = 0;

 protected:
  ~Console() = default;
};

struct Chip {
  virtual uint32_t random() = 0;
  virtual void restart() = 0;  // may return; the core then does nothing more until it is started anew
  virtual const char* reset_reason() = 0;  // "power", "watchdog", "soft", "pin"…
  virtual uint32_t free_heap() = 0;
  virtual int rssi() = 0;          // dBm, 0 when unknown
  virtual uint16_t bus_mv() = 0;   // the 5 V bus
  virtual bool link_up() = 0;      // Wi-Fi associated and with an address
  virtual void ip(char* out, size_t size) = 0;
  virtual void mac(uint8_t out[6]) = 0;

 protected:
  ~Chip() = default;
};

struct Hal {
  Clock& clock;
  Gpio& gpio;
  I2c& i2c;
  RtcMemory& rtc;
  Storage& storage;
  Transport& mqtt;   // to the broker
  Transport& http;   // for an update's image
  Flash& flash;
  Verifier& verifier;
  Console& console;
  Chip& chip;
};

}  // namespace bpu
