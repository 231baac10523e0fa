#include "hal_arduino.h"

#include <Arduino.h>
#include <LittleFS.h>
#include <Wire.h>
#include <bearssl/bearssl.h>
#include <eboot_command.h>
#include <string.h>

#include "../../core/pinmap_d1mini.h"
#include "../../core/text.h"
#include "../../core/version.h"
#include "update_key.h"

namespace arduino_port {

namespace {

uint8_t gpio_of(bpu::Pin pin) {
  for (const bpu::D1MiniPin& one : bpu::kD1MiniPins)
    if (one.pin == pin) return one.gpio;
  return 0xff;
}

// What stands before the 65 bytes of a P-256 point in a SubjectPublicKeyInfo (RFC 5480).
constexpr uint8_t kP256Head[26] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                                   0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

void path_of(const char* name, const char* end, char (&out)[24]) {
  bpu::TextWriter(out, sizeof out).character('/').text(name).text(end);
}

}  // namespace

// --- Board

void Board::begin() {
  for (const bpu::D1MiniPin& one : bpu::kD1MiniPins) {
    // The level first, so that no output passes through another one on its way.
    if (one.output) digitalWrite(one.gpio, one.idle ? HIGH : LOW);
    pinMode(one.gpio, one.output ? OUTPUT : INPUT);
  }
  Wire.begin(bpu::kD1MiniSda, bpu::kD1MiniScl);
  Wire.setClock(100000);
}

uint32_t Board::ms() { return millis(); }
void Board::write(bpu::Pin pin, bool high) { digitalWrite(gpio_of(pin), high ? HIGH : LOW); }
bool Board::read(bpu::Pin pin) { return digitalRead(gpio_of(pin)) == HIGH; }

bool Board::write(uint8_t address, const uint8_t* data, size_t size) {
  Wire.beginTransmission(address);
  Wire.write(data, size);
  return Wire.endTransmission() == 0;
}

bool Board::read(uint8_t address, uint8_t* data, size_t size) {
  if (Wire.requestFrom(address, static_cast<uint8_t>(size)) != size) return false;
  for (size_t i = 0; i < size; i++) data[i] = static_cast<uint8_t>(Wire.read());
  return true;
}

// The first 32 words of the user area are the boot loader's.
uint32_t Board::read(uint8_t word) {
  uint32_t value = 0;
  ESP.rtcUserMemoryRead(32u + word, &value, sizeof value);
  return value;
}

void Board::write(uint8_t word, uint32_t value) { ESP.rtcUserMemoryWrite(32u + word, &value, sizeof value); }

// --- Files

void Files::begin() {
  if (LittleFS.begin()) return;
  LittleFS.format();
  LittleFS.begin();
}

int Files::load(const char* name, void* data, size_t size) {
  char path[24];
  path_of(name, "", path);
  File file = LittleFS.open(path, "r");
  if (!file) return -1;
  const size_t length = file.size();
  const int got = length <= size ? static_cast<int>(file.read(static_cast<uint8_t*>(data), length)) : -1;
  file.close();
  return got;
}

bool Files::save(const char* name, const void* data, size_t size) {
  char path[24], aside[24];
  path_of(name, "", path);
  path_of(name, ".new", aside);
  File file = LittleFS.open(aside, "w");
  if (!file) return false;
  const bool whole = file.write(static_cast<const uint8_t*>(data), size) == size;
  file.close();
  return whole && LittleFS.rename(aside, path);
}

// --- Connection

void Connection::open(const char* host, uint16_t port, const bpu::Pins* pins) {
  close();
  secure_ = pins != nullptr;
  if (!secure_) {
    plain_.setTimeout(kConnectMs);
    plain_.connect(host, port);
    return;
  }
  uint8_t der[sizeof kP256Head + 65];
  memcpy(der, kP256Head, sizeof kP256Head);
  memcpy(der + sizeof kP256Head, pins->key[turn_ % pins->count], 65);
  if (!key_.parse(der, sizeof der)) return;
  tls_.setKnownKey(&key_);
  tls_.setBufferSizes(1024, 512);
  tls_.setTimeout(kConnectMs);
  if (!tls_.connect(host, port)) turn_++;
}

bpu::NetState Connection::state() { return client().connected() ? bpu::NetState::Open : bpu::NetState::Closed; }

int Connection::read(uint8_t* data, size_t size) {
  const int ready = client().available();
  if (ready <= 0) return client().connected() ? 0 : -1;
  return client().read(data, static_cast<size_t>(ready) < size ? static_cast<size_t>(ready) : size);
}

int Connection::write(const uint8_t* data, size_t size) {
  if (!client().connected()) return -1;
  const int room = client().availableForWrite();
  if (room <= 0) return 0;
  return static_cast<int>(client().write(data, static_cast<size_t>(room) < size ? static_cast<size_t>(room) : size));
}

void Connection::close() { client().stop(); }

// --- ProgramFlash

bool ProgramFlash::read(uint32_t address, void* data, size_t size) {
  return ESP.flashRead(address, static_cast<uint8_t*>(data), size);
}

bool ProgramFlash::erase(uint32_t address) { return ESP.flashEraseSector(address / kSector); }

bool ProgramFlash::write(uint32_t address, const void* data, size_t size) {
  return ESP.flashWrite(address, static_cast<const uint8_t*>(data), size);
}

uint32_t ProgramFlash::running_size() { return ESP.getSketchSize(); }
uint32_t ProgramFlash::running_version() { return bpu::kFirmwareNumber; }

void ProgramFlash::order_copy(uint32_t from, uint32_t size) {
  eboot_command command = {};
  command.action = ACTION_COPY_RAW;
  command.args[0] = from;
  command.args[1] = 0;
  command.args[2] = size;
  eboot_command_write(&command);
}

// --- the rest

bool Signatures::verify(const uint8_t digest[32], const uint8_t signature[256]) {
  uint8_t any = 0;
  for (const uint8_t byte : kUpdateModulus) any |= byte;
  if (any == 0) return false;
  static const unsigned char kSha256[] = {9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1};  // its object identifier
  unsigned char modulus[256], exponent[3] = {1, 0, 1}, found[32];
  memcpy(modulus, kUpdateModulus, sizeof modulus);
  const br_rsa_public_key key = {modulus, sizeof modulus, exponent, sizeof exponent};
  return br_rsa_i15_pkcs1_vrfy(signature, 256, kSha256, sizeof found, &key, found) == 1 &&
         memcmp(found, digest, sizeof found) == 0;
}

int UsbSerial::read() { return Serial.read(); }
void UsbSerial::write(const char* text, size_t size) { Serial.write(reinterpret_cast<const uint8_t*>(text), size); }

uint32_t Esp::random() { return ESP.random(); }
void Esp::restart() { ESP.restart(); }

const char* Esp::reset_reason() {
  switch (ESP.getResetInfoPtr()->reason) {
    case REASON_DEFAULT_RST: return "power";
    case REASON_WDT_RST: case REASON_SOFT_WDT_RST: return "watchdog";
    case REASON_EXCEPTION_RST: return "exception";
    case REASON_EXT_SYS_RST: return "pin";
    default: return "soft";
  }
}

uint32_t Esp::free_heap() { return ESP.getFreeHeap(); }
int Esp::rssi() { return link_up() ? WiFi.RSSI() : 0; }

// 220 k in series with the board's own divider of 220 k and 100 k: 1.0 V at the pin, 1023 steps, is 5.4 V.
uint16_t Esp::bus_mv() { return static_cast<uint16_t>(analogRead(A0) * 5400L / 1023); }
bool Esp::link_up() { return WiFi.status() == WL_CONNECTED; }
void Esp::ip(char* out, size_t size) { bpu::copy_text(out, size, WiFi.localIP().toString().c_str()); }
void Esp::mac(uint8_t out[6]) { WiFi.macAddress(out); }

}  // namespace arduino_port
