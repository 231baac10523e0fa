// A plain TCP connection that never waits.
#pragma once

#include <chrono>
#include <string>

#include "../../core/hal.h"

namespace host {

class Tcp final : public bpu::Transport {
 public:
  Tcp() = default;
  ~Tcp() { close(); }
  Tcp(const Tcp&) = delete;
  Tcp& operator=(const Tcp&) = delete;

  void open(const char* host, uint16_t port, const bpu::Pins* pins) override;
  bpu::NetState state() override;
  int read(uint8_t* data, size_t size) override;
  int write(const uint8_t* data, size_t size) override;
  void close() override;

  int descriptor() const { return fd_; }
  // While down, every connection is refused.
  void set_network(bool up);

 private:
  int fd_ = -1;
  bool connecting_ = false;
  bool network_ = true;
};

}  // namespace host
