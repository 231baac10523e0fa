// TLS 1.2 by BearSSL with the buffer sizes of the chip (1024 bytes in, 512 out) and the broker's public key pinned,
// in the way the ESP8266's library does it: one known key an attempt, the other one at the next.
#pragma once

#include <bearssl.h>

#include "tcp.h"

namespace host {

// Plain TCP without pins, TLS with them.
class Tls final : public bpu::Transport {
 public:
  void open(const char* host, uint16_t port, const bpu::Pins* pins) override;
  bpu::NetState state() override;
  int read(uint8_t* data, size_t size) override;
  int write(const uint8_t* data, size_t size) override;
  void close() override;

  Tcp& tcp() { return tcp_; }
  // What went wrong with the last connection, by BearSSL's numbers; 0 = nothing.
  int last_error() const { return last_error_; }

 private:
  void begin();
  bool pump();  // false: the connection is over

  Tcp tcp_;
  std::string host_;
  const bpu::Pins* pins_ = nullptr;
  bool started_ = false, established_ = false;
  uint8_t turn_ = 0;
  int last_error_ = 0;
  br_ssl_client_context client_;
  br_x509_minimal_context minimal_;
  br_x509_knownkey_context known_;
  br_ec_public_key key_;
  // BearSSL's own overhead on top of what a record carries.
  unsigned char in_[1024 + 325];
  unsigned char out_[512 + 85];
};

}  // namespace host
