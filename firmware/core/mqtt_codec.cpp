#include "mqtt_codec.h"

namespace bpu {
namespace mqtt {

namespace {

// Fills a packet body behind room for the longest header, then puts the header in front.
class Writer {
 public:
  Writer(uint8_t* out, size_t capacity) : out_(out), capacity_(capacity), ok_(capacity >= kHeader) {}

  void byte(uint8_t value) { bytes(&value, 1); }
  void word(uint16_t value) {
    byte(static_cast<uint8_t>(value >> 8));
    byte(static_cast<uint8_t>(value));
  }
  void bytes(const void* data, size_t size) {
    if (!ok_ || size > capacity_ - size_) {
      ok_ = false;
      return;
    }
    if (size > 0) memcpy(out_ + size_, data, size);
    size_ += size;
  }
  void text(Text value) {
    if (value.size > 0xffff) ok_ = false;
    word(static_cast<uint16_t>(value.size));
    bytes(value.data, value.size);
  }
  void text(const char* value) { text(Text{value, strlen(value)}); }

  // Our packets are far below 16384 bytes, so the length takes one or two bytes.
  size_t finish(uint8_t header) {
    if (!ok_) return 0;
    const size_t body = size_ - kHeader;
    if (body > 16383) return 0;
    const size_t start = body < 128 ? 2 : 3;
    memmove(out_ + start, out_ + kHeader, body);
    out_[0] = header;
    out_[1] = static_cast<uint8_t>(body < 128 ? body : (body & 0x7f) | 0x80);
    if (body >= 128) out_[2] = static_cast<uint8_t>(body >> 7);
    return start + body;
  }

 private:
  static constexpr size_t kHeader = 3;
  uint8_t* out_;
  size_t capacity_;
  size_t size_ = kHeader;
  bool ok_;
};

uint8_t header(Type type, uint8_t flags) { return static_cast<uint8_t>(static_cast<uint8_t>(type) << 4 | flags); }

uint16_t word_at(const uint8_t* data) { return static_cast<uint16_t>(data[0] << 8 | data[1]); }

}  // namespace

size_t encode_connect(uint8_t* out, size_t capacity, const Connect& options) {
  const bool user = options.user[0] != 0;
  Writer writer(out, capacity);
  writer.text("MQTT");
  writer.byte(4);  // protocol level, 3.1.2.2
  // Clean session, will with QoS 1 and retain, 3.1.2.3.
  writer.byte(static_cast<uint8_t>(0x02 | 0x04 | 0x08 | 0x20 | (user ? 0xc0 : 0)));
  writer.word(options.keepalive_s);
  writer.text(options.client_id);
  writer.text(options.will_topic);
  writer.text(options.will_payload);
  if (user) {
    writer.text(options.user);
    writer.text(options.password);
  }
  return writer.finish(header(Type::Connect, 0));
}

size_t encode_publish(uint8_t* out, size_t capacity, const Publish& message) {
  Writer writer(out, capacity);
  writer.text(message.topic);
  if (message.qos > 0) writer.word(message.id);
  writer.bytes(message.payload.data, message.payload.size);
  return writer.finish(
      header(Type::Publish, static_cast<uint8_t>((message.dup ? 8 : 0) | message.qos << 1 | (message.retain ? 1 : 0))));
}

size_t encode_subscribe(uint8_t* out, size_t capacity, uint16_t id, const char* const* filters, size_t count) {
  Writer writer(out, capacity);
  writer.word(id);
  for (size_t i = 0; i < count; i++) {
    writer.text(filters[i]);
    writer.byte(0);
  }
  return writer.finish(header(Type::Subscribe, 2));
}

size_t encode_puback(uint8_t* out, size_t capacity, uint16_t id) {
  if (capacity < 4) return 0;
  out[0] = header(Type::Puback, 0);
  out[1] = 2;
  out[2] = static_cast<uint8_t>(id >> 8);
  out[3] = static_cast<uint8_t>(id);
  return 4;
}

size_t encode_empty(uint8_t* out, size_t capacity, Type type) {
  if (capacity < 2) return 0;
  out[0] = header(type, 0);
  out[1] = 0;
  return 2;
}

void PacketReader::reset() { stage_ = Stage::Header; }

PacketReader::Result PacketReader::feed(const uint8_t*& at, const uint8_t* end, Packet& out) {
  while (true) {
    if (stage_ == Stage::Body && taken_ == length_) {
      stage_ = Stage::Header;
      out.type = header_ >> 4;
      out.flags = header_ & 0x0f;
      out.body = body_;
      out.truncated = length_ > kBody;
      out.size = out.truncated ? kBody : length_;
      return Result::Packet;
    }
    if (at == end) return Result::More;
    switch (stage_) {
      case Stage::Header:
        header_ = *at++;
        shift_ = 0;
        length_ = taken_ = 0;
        stage_ = Stage::Length;
        break;
      case Stage::Length: {
        const uint8_t digit = *at++;
        length_ |= static_cast<uint32_t>(digit & 0x7f) << shift_;
        shift_ = static_cast<uint8_t>(shift_ + 7);
        if ((digit & 0x80) == 0)
          stage_ = Stage::Body;
        else if (shift_ > 21)
          return Result::Malformed;  // at most four bytes, 2.2.3
        break;
      }
      case Stage::Body: {
        size_t size = static_cast<size_t>(end - at);
        if (size > length_ - taken_) size = length_ - taken_;
        if (taken_ < kBody) {
          const size_t room = kBody - taken_;
          memcpy(body_ + taken_, at, size < room ? size : room);
        }
        taken_ += static_cast<uint32_t>(size);
        at += size;
        break;
      }
    }
  }
}

bool parse_publish(const Packet& packet, Publish& out) {
  out = Publish{};
  out.dup = packet.flags & 8;
  out.qos = (packet.flags >> 1) & 3;
  out.retain = packet.flags & 1;
  out.truncated = packet.truncated;
  if (out.qos > 1) return false;  // we ask for 0, but mosquitto's upgrade_outgoing_qos sends as published
  if (packet.size < 2) return false;
  size_t at = 2;
  out.topic.size = word_at(packet.body);
  if (out.topic.size == 0 || out.topic.size > packet.size - at) return false;
  out.topic.data = reinterpret_cast<const char*>(packet.body + at);
  at += out.topic.size;
  for (size_t i = 0; i < out.topic.size; i++) {
    const char c = out.topic.data[i];
    if (c == 0 || c == '+' || c == '#') return false;  // 3.3.2.1
  }
  if (out.qos == 1) {
    if (packet.size - at < 2) return false;
    out.id = word_at(packet.body + at);
    if (out.id == 0) return false;
    at += 2;
  }
  out.payload = Text{reinterpret_cast<const char*>(packet.body + at), packet.size - at};
  return true;
}

bool parse_connack(const Packet& packet, uint8_t& code) {
  if (packet.flags != 0 || packet.size != 2 || packet.body[0] > 1) return false;
  code = packet.body[1];
  return true;
}

bool parse_puback(const Packet& packet, uint16_t& id) {
  if (packet.flags != 0 || packet.size != 2) return false;
  id = word_at(packet.body);
  return true;
}

bool parse_suback(const Packet& packet, uint16_t& id, const uint8_t*& codes, size_t& count) {
  if (packet.flags != 0 || packet.size < 3) return false;
  id = word_at(packet.body);
  codes = packet.body + 2;
  count = packet.size - 2;
  return true;
}

}  // namespace mqtt
}  // namespace bpu
