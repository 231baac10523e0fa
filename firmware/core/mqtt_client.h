// A small MQTT 3.1.1 client: clean session, last will, QoS 0 and 1, one QoS 1 publish in flight, fixed buffers.
#pragma once

#include "hal.h"
#include "mqtt_codec.h"

namespace bpu {

// What the client is to say; the texts must outlive the client.
struct MqttSettings {
  const char* host;
  uint16_t port;
  const Pins* pins;  // null: plain TCP
  mqtt::Connect connect;
  const char* const* filters;
  uint8_t filter_count;
  uint8_t needed_filters;  // the first so many must be granted, else the connection is of no use
};

struct MqttListener {
  virtual void mqtt_connected() = 0;
  virtual void mqtt_disconnected() = 0;
  virtual void mqtt_message(const mqtt::Publish& message) = 0;
  // The QoS 1 publish in flight has reached the broker.
  virtual void mqtt_delivered() = 0;

 protected:
  ~MqttListener() = default;
};

// Counters since start, for telemetry and tests.
struct MqttCounters {
  uint32_t connects = 0;     // sessions that got as far as a granted subscription
  uint32_t received = 0;     // messages of any kind
  uint32_t oversize = 0;     // messages dropped for their size
  uint32_t malformed = 0;    // connections closed for a broken packet
};

class MqttClient {
 public:
  MqttClient(Transport& transport, Chip& chip, MqttListener& listener)
      : transport_(transport), chip_(chip), listener_(listener) {}

  // settings must outlive the client. A connection that is up is closed.
  void configure(const MqttSettings& settings, uint32_t now);

  // Moves bytes and timers; call often. may_open = false holds back a new connection (opening one may block
  // on some platforms), never an existing one.
  void tick(uint32_t now, bool may_open);

  bool up() const { return phase_ == Phase::Up; }
  // No connection and none being made.
  bool resting() const { return phase_ <= Phase::Waiting; }
  // True when publish would take a message now.
  bool ready() const { return up() && tx_size_ == 0 && in_flight_ == 0; }
  // An answer of the broker is due.
  bool awaiting() const { return in_flight_ != 0 || pinging_; }
  // False when not ready or when it does not fit.
  bool publish(const char* topic, Text payload, uint8_t qos, bool retain, uint32_t now);

  // Says DISCONNECT, so the will is not sent, and closes.
  void disconnect(uint32_t now);

  const MqttCounters& counters() const { return counters_; }

  static constexpr uint32_t kAnswerMs = 10000;    // CONNACK, SUBACK, PUBACK, PINGRESP
  static constexpr uint32_t kOpenMs = 15000;
  static constexpr uint32_t kBackoffMaxMs = 60000;
  static constexpr uint32_t kStableMs = 30000;    // up this long: the next back-off starts low again
  static constexpr size_t kPacket = 512 + 64;     // payload 448, topic, header

 private:
  enum class Phase : uint8_t { Unset, Waiting, Opening, Connecting, Subscribing, Up };

  void open(uint32_t now);
  void drop(uint32_t now);
  void enter(Phase phase, uint32_t now);
  bool flush(uint32_t now);
  void receive(uint32_t now);
  bool handle(const mqtt::Packet& packet, uint32_t now);
  bool handle_connack(const mqtt::Packet& packet, uint32_t now);
  bool handle_suback(const mqtt::Packet& packet, uint32_t now);
  bool handle_publish(const mqtt::Packet& packet);
  bool deadlines_met(uint32_t now);
  void ping_when_quiet(uint32_t now);
  uint16_t next_id();

  Transport& transport_;
  Chip& chip_;
  MqttListener& listener_;
  MqttSettings settings_ = {};
  MqttCounters counters_;
  Phase phase_ = Phase::Unset;
  uint8_t failures_ = 0;
  bool pinging_ = false;
  uint16_t last_id_ = 0;
  uint16_t in_flight_ = 0;
  uint16_t subscribe_id_ = 0;
  uint32_t since_ = 0;        // phase entered
  uint32_t wait_ms_ = 0;      // in Waiting
  uint32_t sent_ = 0;         // last byte out
  uint32_t heard_ = 0;        // last byte in
  uint32_t ping_sent_ = 0;
  uint32_t publish_sent_ = 0;
  size_t tx_size_ = 0, tx_done_ = 0;
  size_t control_size_ = 0, control_done_ = 0;
  mqtt::PacketReader reader_;
  uint8_t tx_[kPacket];
  uint8_t control_[64];       // PUBACK and PINGREQ pass a large packet that waits, never one under way
};

}  // namespace bpu
