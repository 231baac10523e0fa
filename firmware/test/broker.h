// An MQTT broker for one client, written against the standard and not against the codec under test. It is also
// the client's network: it can be slow, cut the connection at any byte, or lose it without a word.
#pragma once

#include "../core/hal.h"

namespace test {

struct Message {
  char topic[96];
  char payload[460];
  size_t size;
  uint8_t qos;
  bool retain;
};

class Broker final : public bpu::Transport {
 public:
  // The client's side. Data is only queued here; pump does the broker's work, so that its stack is not
  // counted as the client's.
  void open(const char* host, uint16_t port, const bpu::Pins* pins) override;
  bpu::NetState state() override { return state_; }
  int read(uint8_t* data, size_t size) override;
  int write(const uint8_t* data, size_t size) override;
  void close() override;

  void pump();
  void reset();  // as new

  // The controller's side.
  void publish(const char* topic, const char* payload, size_t size, bool retain);
  const Message* retained(const char* topic) const;
  // Published messages since the last clear, in order.
  uint32_t count() const { return log_size_; }
  Message& logged(uint32_t index) { return log_[index]; }
  void clear_log() { log_size_ = 0; }

  // Breaks.
  void drop_client();                  // the connection is lost; the will is sent
  void refuse(bool on) { refuse_ = on; }
  void cut_after(int32_t bytes) { cut_after_ = bytes; }  // of both directions together; -1 = never
  void inject(const uint8_t* data, size_t size);         // raw bytes to the client

  uint32_t window = 0xffffffffu;  // bytes moved per call at most
  bool deaf = false;              // nothing is answered any more
  bool stuck = false;             // writes move nothing
  uint8_t connack = 0;
  uint8_t suback[3] = {1, 1, 1};
  bool drop_pubacks = false;

  bool connected() const { return session_; }
  uint32_t opens() const { return opens_; }  // tries to connect, refused ones too
  uint32_t sessions() const { return sessions_; }
  uint32_t errors() const { return errors_; }  // breaches of the standard by the client
  uint32_t pings() const { return pings_; }
  uint32_t acks() const { return acks_; }
  bool clean_bye() const { return bye_; }
  uint16_t keepalive() const { return keepalive_; }
  char client_id[32], user[40], password[80];

 private:
  static constexpr size_t kBuffer = 1 << 19;
  void take_packets();
  void packet(const uint8_t* data, size_t header, size_t size);
  void on_connect(const uint8_t* at, const uint8_t* end);
  void on_publish(uint8_t flags, const uint8_t* at, const uint8_t* end);
  void on_subscribe(const uint8_t* at, const uint8_t* end);
  void store(const char* topic, const char* payload, size_t size, uint8_t qos, bool retain);
  void deliver(const char* topic, const char* payload, size_t size, bool retain);
  bool matches(const char* topic) const;
  bool spend(size_t& size);
  void breach() { errors_++; }
  void end_session(bool will);

  bpu::NetState state_ = bpu::NetState::Closed;
  bool session_ = false, subscribed_ = false, refuse_ = false, bye_ = false, lost_ = false;
  int32_t cut_after_ = -1;
  uint32_t opens_ = 0, sessions_ = 0, errors_ = 0, pings_ = 0, acks_ = 0;
  uint16_t next_id_ = 0, keepalive_ = 0;
  char will_topic_[96], will_payload_[32];
  char filters_[3][96];
  uint8_t from_[8192];
  size_t from_size_ = 0;
  uint8_t to_[kBuffer];
  size_t to_start_ = 0, to_size_ = 0;
  Message log_[2048];
  uint32_t log_size_ = 0;
  Message kept_[24];
  uint32_t kept_size_ = 0;
};

}  // namespace test
