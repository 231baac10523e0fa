// One simulated backplane unit: the firmware's own core on simulated hardware and a real network.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../../core/app_bpu.h"
#include "../../simhw/board.h"
#include "../../simhw/parts.h"
#include "parts.h"
#include "tls.h"

namespace host {

struct Options {
  bpu::Config config;
  bool has_config = false;   // else what is stored counts, and the unit waits for set-up
  uint8_t slots = 3;
  std::vector<int> types, power, always_on;   // by slot; missing = 1, 0, 0
  std::vector<uint8_t> update_key;            // modulus of RSA-2048
  uint32_t boot = 0;                          // number of the first boot; 0 = the next of what is stored
  std::string state;                          // folder; empty = nothing is kept
  std::string serial;
  std::string control = "stdio";
  bool manual_clock = false;
};

class Unit {
 public:
  explicit Unit(const Options& options);

  // Something to tell on the control channel, without the leading "! ".
  std::function<void(const std::string&)> notify = [](const std::string&) {};

  void start();
  // One pass: the clock moves by ms, the core works.
  void pass(uint32_t ms);
  // The clock moves by ms in steps of at most 50, each followed by as much network as there is to do.
  void advance(uint32_t ms);
  // Works without moving the clock until there is nothing to say or to hear.
  void settle();

  void mcu_reset();
  void power_loss(uint32_t ms);
  void set_network(bool up);

  simhw::Board& board() { return board_; }
  bpu::BpuApp* app() { return app_.get(); }
  bool powered() const { return powered_; }
  int descriptors(int out[3]) const;

 private:
  void boot_mcu(const char* reason);
  void watch();

  Options options_;
  simhw::Board board_;
  FileRecords records_;
  std::vector<uint8_t> flash_memory_;
  simhw::NorFlash flash_;
  SimChip chip_;
  SerialPort console_;
  RsaVerifier verifier_;
  mutable Tls mqtt_;
  mutable Tcp http_;
  bpu::Hal hal_;
  std::unique_ptr<bpu::BpuApp> app_;
  bool powered_ = true;
  uint32_t power_back_at_ = 0;
  bool online_ = false;
  bool pgood_[bpu::kMaxSlots] = {};
  uint32_t shutdowns_[bpu::kMaxSlots] = {}, resets_[bpu::kMaxSlots] = {};
};

}  // namespace host
