#include "mqtt_client.h"

namespace bpu {

using mqtt::Type;

void MqttClient::configure(const MqttSettings& settings, uint32_t now) {
  if (phase_ != Phase::Unset) drop(now);
  settings_ = settings;
  failures_ = 0;
  wait_ms_ = 0;
  enter(Phase::Waiting, now);
}

void MqttClient::enter(Phase phase, uint32_t now) {
  phase_ = phase;
  since_ = now;
}

// Closes and plans the next attempt: 1 s doubling to 60 s, each between half and one and a half of it, so that
// the units of a chassis do not come back in step.
void MqttClient::drop(uint32_t now) {
  const bool was_up = phase_ == Phase::Up;
  if (was_up && now - since_ >= kStableMs) failures_ = 0;
  transport_.close();
  tx_size_ = tx_done_ = control_size_ = control_done_ = 0;
  in_flight_ = 0;
  pinging_ = false;
  uint32_t base = 1000u << (failures_ < 6 ? failures_ : 6);
  if (base > kBackoffMaxMs) base = kBackoffMaxMs;
  if (failures_ < 6) failures_++;
  wait_ms_ = base / 2 + chip_.random() % base;
  enter(Phase::Waiting, now);
  if (was_up) listener_.mqtt_disconnected();
}

void MqttClient::disconnect(uint32_t now) {
  if (phase_ == Phase::Up && (tx_size_ == 0 || tx_done_ == 0)) {
    uint8_t bye[2];
    const size_t size = mqtt::encode_empty(bye, sizeof bye, Type::Disconnect);
    transport_.write(bye, size);
  }
  if (phase_ != Phase::Unset) drop(now);
}

void MqttClient::open(uint32_t now) {
  reader_.reset();
  enter(Phase::Opening, now);
  transport_.open(settings_.host, settings_.port, settings_.pins);
}

uint16_t MqttClient::next_id() {
  if (++last_id_ == 0) last_id_ = 1;
  return last_id_;
}

void MqttClient::tick(uint32_t now, bool may_open) {
  switch (phase_) {
    case Phase::Unset:
      return;
    case Phase::Waiting:
      if (may_open && chip_.link_up() && now - since_ >= wait_ms_) open(now);
      return;
    case Phase::Opening:
      if (transport_.state() == NetState::Open) {
        tx_size_ = mqtt::encode_connect(tx_, sizeof tx_, settings_.connect);
        tx_done_ = 0;
        heard_ = now;
        enter(Phase::Connecting, now);
      } else if (transport_.state() == NetState::Closed || now - since_ >= kOpenMs) {
        drop(now);
        return;
      }
      break;
    default:
      break;
  }
  if (!flush(now)) {
    drop(now);
    return;
  }
  receive(now);
  if (phase_ <= Phase::Opening) return;  // the connection went while reading
  if (!deadlines_met(now)) {
    drop(now);
    return;
  }
  if (phase_ == Phase::Up) ping_when_quiet(now);
  if (!flush(now)) drop(now);
}

bool MqttClient::deadlines_met(uint32_t now) {
  if (phase_ == Phase::Connecting || phase_ == Phase::Subscribing) return now - since_ < kAnswerMs;
  if (in_flight_ != 0 && now - publish_sent_ >= kAnswerMs) return false;
  return !pinging_ || now - ping_sent_ < kAnswerMs;
}

// Pings when either direction was quiet for two thirds of the keepalive: what we send keeps the broker content,
// what it answers tells us of a half-open connection.
void MqttClient::ping_when_quiet(uint32_t now) {
  const uint32_t quiet = settings_.connect.keepalive_s * 1000u * 2 / 3;
  if (pinging_ || (now - sent_ < quiet && now - heard_ < quiet)) return;
  const size_t size = mqtt::encode_empty(control_ + control_size_, sizeof control_ - control_size_, Type::Pingreq);
  if (size == 0) return;
  control_size_ += size;
  pinging_ = true;
  ping_sent_ = now;
}

// Sends what is waiting; false when the connection is gone.
bool MqttClient::flush(uint32_t now) {
  while (true) {
    const bool control = control_size_ > 0 && (tx_done_ == 0 || control_done_ > 0);
    uint8_t* data = control ? control_ : tx_;
    size_t& done = control ? control_done_ : tx_done_;
    size_t& size = control ? control_size_ : tx_size_;
    if (size == 0) return true;
    const int moved = transport_.write(data + done, size - done);
    if (moved < 0) return false;
    if (moved == 0) return true;
    sent_ = now;
    done += static_cast<size_t>(moved);
    if (done == size) done = size = 0;
  }
}

void MqttClient::receive(uint32_t now) {
  uint8_t bytes[64];
  // A few reads a tick, so that a flood does not keep the slots waiting.
  for (int round = 0; round < 16; round++) {
    // Read only what can be acknowledged: the smallest QoS 1 publish has 7 bytes and costs 4 here.
    if (sizeof control_ - control_size_ < 16) return;
    const size_t want = control_size_ == 0 ? sizeof bytes : 16;
    const int size = transport_.read(bytes, want);
    if (size == 0) return;
    if (size < 0) {
      drop(now);
      return;
    }
    heard_ = now;
    const uint8_t* at = bytes;
    mqtt::Packet packet;
    while (true) {
      const auto result = reader_.feed(at, bytes + size, packet);
      if (result == mqtt::PacketReader::Result::More) break;
      if (result == mqtt::PacketReader::Result::Malformed || !handle(packet, now)) {
        counters_.malformed++;
        drop(now);
        return;
      }
      if (phase_ < Phase::Connecting) return;  // the listener or a refusal closed it
    }
    if (!flush(now)) {
      drop(now);
      return;
    }
  }
}

// False closes the connection: the packet is broken or has no business here.
bool MqttClient::handle(const mqtt::Packet& packet, uint32_t now) {
  const Type type = static_cast<Type>(packet.type);
  if (phase_ == Phase::Connecting) return type == Type::Connack && handle_connack(packet, now);
  switch (type) {
    case Type::Suback:
      return phase_ == Phase::Subscribing && handle_suback(packet, now);
    case Type::Publish:
      return handle_publish(packet);
    case Type::Puback: {
      uint16_t id = 0;
      if (!mqtt::parse_puback(packet, id)) return false;
      if (in_flight_ != 0 && id == in_flight_) {
        in_flight_ = 0;
        listener_.mqtt_delivered();
      }
      return true;
    }
    case Type::Pingresp:
      pinging_ = false;
      return packet.size == 0;
    default:
      return false;
  }
}

bool MqttClient::handle_connack(const mqtt::Packet& packet, uint32_t now) {
  uint8_t code = 0;
  if (!mqtt::parse_connack(packet, code)) return false;
  if (code != 0) {
    failures_ = 6;  // refused: asking often does not help
    drop(now);
    return true;
  }
  subscribe_id_ = next_id();
  tx_size_ = mqtt::encode_subscribe(tx_, sizeof tx_, subscribe_id_, settings_.filters, settings_.filter_count);
  tx_done_ = 0;
  enter(Phase::Subscribing, now);
  return true;
}

bool MqttClient::handle_suback(const mqtt::Packet& packet, uint32_t now) {
  uint16_t id = 0;
  const uint8_t* codes = nullptr;
  size_t count = 0;
  if (!mqtt::parse_suback(packet, id, codes, count) || id != subscribe_id_ || count != settings_.filter_count)
    return false;
  for (size_t i = 0; i < settings_.needed_filters; i++) {
    if (codes[i] > 1) {
      failures_ = 6;
      drop(now);
      return true;
    }
  }
  counters_.connects++;
  enter(Phase::Up, now);
  listener_.mqtt_connected();
  return true;
}

bool MqttClient::handle_publish(const mqtt::Packet& packet) {
  mqtt::Publish message;
  if (!mqtt::parse_publish(packet, message)) return false;
  counters_.received++;
  if (message.truncated)
    counters_.oversize++;
  else
    listener_.mqtt_message(message);
  if (message.qos == 1 && phase_ >= Phase::Connecting)
    control_size_ +=
        mqtt::encode_puback(control_ + control_size_, sizeof control_ - control_size_, message.id);
  return true;
}

bool MqttClient::publish(const char* topic, Text payload, uint8_t qos, bool retain, uint32_t now) {
  if (!ready()) return false;
  mqtt::Publish message;
  message.topic = Text{topic, strlen(topic)};
  message.payload = payload;
  message.qos = qos;
  message.retain = retain;
  if (qos > 0) message.id = next_id();
  const size_t size = mqtt::encode_publish(tx_, sizeof tx_, message);
  if (size == 0) return false;
  tx_size_ = size;
  tx_done_ = 0;
  if (qos > 0) {
    in_flight_ = message.id;
    publish_sent_ = now;
  }
  return true;
}

}  // namespace bpu
