#include "tls.h"

#include <cstring>

namespace host {

using bpu::NetState;

void Tls::open(const char* host, uint16_t port, const bpu::Pins* pins) {
  close();
  pins_ = pins;
  host_ = host;
  tcp_.open(host, port, nullptr);
}

void Tls::begin() {
  br_ssl_client_init_full(&client_, &minimal_, nullptr, 0);
  br_ssl_engine_set_versions(&client_.eng, BR_TLS12, BR_TLS12);
  br_ssl_engine_set_buffers_bidi(&client_.eng, in_, sizeof in_, out_, sizeof out_);
  key_.curve = BR_EC_secp256r1;
  key_.q = const_cast<unsigned char*>(pins_->key[turn_ % pins_->count]);
  key_.qlen = 65;
  br_x509_knownkey_init_ec(&known_, &key_, BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN);
  br_ssl_engine_set_x509(&client_.eng, &known_.vtable);
  br_ssl_client_reset(&client_, host_.c_str(), 0);
  started_ = true;
  established_ = false;
}

// Moves records between the engine and the socket until neither side has anything.
bool Tls::pump() {
  br_ssl_engine_context* engine = &client_.eng;
  while (true) {
    const unsigned state = br_ssl_engine_current_state(engine);
    if (state & BR_SSL_CLOSED) {
      last_error_ = br_ssl_engine_last_error(engine);
      return false;
    }
    if (state & BR_SSL_SENDAPP) established_ = true;
    if (state & BR_SSL_SENDREC) {
      size_t size = 0;
      const unsigned char* data = br_ssl_engine_sendrec_buf(engine, &size);
      const int sent = tcp_.write(data, size);
      if (sent < 0) return false;
      if (sent > 0) {
        br_ssl_engine_sendrec_ack(engine, static_cast<size_t>(sent));
        continue;
      }
    }
    if (state & BR_SSL_RECVREC) {
      size_t size = 0;
      unsigned char* data = br_ssl_engine_recvrec_buf(engine, &size);
      const int got = tcp_.read(data, size);
      if (got < 0) return (state & BR_SSL_RECVAPP) != 0;
      if (got > 0) {
        br_ssl_engine_recvrec_ack(engine, static_cast<size_t>(got));
        continue;
      }
    }
    return true;
  }
}

NetState Tls::state() {
  const NetState below = tcp_.state();
  if (!pins_ || below != NetState::Open) return below;
  if (!started_) begin();
  if (!pump()) {
    if (!established_) turn_++;
    close();
    return NetState::Closed;
  }
  return established_ ? NetState::Open : NetState::Opening;
}

int Tls::read(uint8_t* data, size_t size) {
  if (!pins_) return tcp_.read(data, size);
  if (!started_) return -1;
  const bool open = pump();
  size_t ready = 0;
  const unsigned char* from = br_ssl_engine_recvapp_buf(&client_.eng, &ready);
  if (!from) return open ? 0 : -1;
  if (ready > size) ready = size;
  std::memcpy(data, from, ready);
  br_ssl_engine_recvapp_ack(&client_.eng, ready);
  return static_cast<int>(ready);
}

int Tls::write(const uint8_t* data, size_t size) {
  if (!pins_) return tcp_.write(data, size);
  if (!started_ || !pump()) return -1;
  size_t room = 0;
  unsigned char* to = br_ssl_engine_sendapp_buf(&client_.eng, &room);
  if (!to) return 0;
  if (room > size) room = size;
  std::memcpy(to, data, room);
  br_ssl_engine_sendapp_ack(&client_.eng, room);
  br_ssl_engine_flush(&client_.eng, 0);
  return pump() ? static_cast<int>(room) : -1;
}

void Tls::close() {
  tcp_.close();
  started_ = established_ = false;
}

}  // namespace host
