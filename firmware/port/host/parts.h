// The Linux side of a simulated unit: files, serial port, signatures and the chip.
#pragma once

#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "../../core/hal.h"
#include "../../simhw/board.h"

namespace host {

// Records in memory, or one file each in a folder. Obeys the board's cut like all that the MCU does.
class FileRecords final : public bpu::Storage {
 public:
  FileRecords(simhw::Board& board, std::string folder) : board_(board), folder_(std::move(folder)) {}
  int load(const char* name, void* data, size_t size) override;
  bool save(const char* name, const void* data, size_t size) override;
  bool has(const char* name);

 private:
  simhw::Board& board_;
  std::string folder_;
  std::map<std::string, std::vector<uint8_t>> memory_;
};

// The log goes to stderr; with a terminal it is the set-up port as well.
class SerialPort final : public bpu::Console {
 public:
  // An empty path means no set-up port. Throws std::runtime_error when it cannot be opened.
  explicit SerialPort(const std::string& path);
  int read() override;
  void write(const char* text, size_t size) override;
  int descriptor() const { return fd_; }

 private:
  int fd_ = -1;
  std::string pending_;
};

class SimChip final : public bpu::Chip {
 public:
  SimChip(simhw::Board& board, std::string mac_seed);
  uint32_t random() override { return random_(); }
  void restart() override;
  const char* reset_reason() override { return reason.c_str(); }
  uint32_t free_heap() override { return 31000; }
  int rssi() override { return -55; }
  uint16_t bus_mv() override { return 5080; }
  bool link_up() override { return link; }
  void ip(char* out, size_t size) override;
  void mac(uint8_t out[6]) override;

  std::string reason = "power";
  bool link = true;
  bool wants_restart = false;

 private:
  simhw::Board& board_;
  std::mt19937 random_;
  uint8_t mac_[6];
};

// RSA-2048 by BearSSL, as on the chip. Without a key nothing verifies.
class RsaVerifier final : public bpu::Verifier {
 public:
  // modulus: 256 bytes, or none; the exponent is 65537.
  explicit RsaVerifier(std::vector<uint8_t> modulus) : modulus_(std::move(modulus)) {}
  bool verify(const uint8_t digest[32], const uint8_t signature[256]) override;

 private:
  std::vector<uint8_t> modulus_;
};

}  // namespace host
