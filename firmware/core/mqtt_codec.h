// MQTT 3.1.1 packets: encoders into a fixed buffer and an incremental reader. Section numbers in comments are
// those of the OASIS standard.
#pragma once

#include "text.h"

namespace bpu {
namespace mqtt {

enum class Type : uint8_t {
  Connect = 1, Connack = 2, Publish = 3, Puback = 4, Pubrec = 5, Pubrel = 6, Pubcomp = 7, Subscribe = 8,
  Suback = 9, Unsubscribe = 10, Unsuback = 11, Pingreq = 12, Pingresp = 13, Disconnect = 14,
};

struct Connect {
  const char* client_id;
  const char* user;      // empty = no user name
  const char* password;  // sent only with a user name
  const char* will_topic;
  const char* will_payload;  // QoS 1, retained
  uint16_t keepalive_s;
};

struct Publish {
  Text topic;
  Text payload;
  uint8_t qos = 0;
  bool retain = false;
  bool dup = false;
  uint16_t id = 0;
  bool truncated = false;  // the payload was longer than the reader's buffer
};

// Each returns the size of the packet, or 0 when it does not fit.
size_t encode_connect(uint8_t* out, size_t capacity, const Connect& options);
size_t encode_publish(uint8_t* out, size_t capacity, const Publish& message);
// Asks for QoS 0: sessions are clean, so QoS 1 would only keep a queue at the broker until the connection breaks.
size_t encode_subscribe(uint8_t* out, size_t capacity, uint16_t id, const char* const* filters, size_t count);
size_t encode_puback(uint8_t* out, size_t capacity, uint16_t id);
size_t encode_empty(uint8_t* out, size_t capacity, Type type);  // PINGREQ, DISCONNECT

struct Packet {
  uint8_t type = 0;
  uint8_t flags = 0;
  const uint8_t* body = nullptr;
  size_t size = 0;
  bool truncated = false;
};

// Cuts a stream of bytes into packets. Of a body larger than the buffer the rest is read and dropped, so that
// an oversize message costs one message and not the connection.
class PacketReader {
 public:
  static constexpr size_t kBody = 512;
  enum class Result : uint8_t { More, Packet, Malformed };

  void reset();
  // Reads from [at, end) and moves at. Packet: out is filled and valid until the next call.
  Result feed(const uint8_t*& at, const uint8_t* end, Packet& out);

 private:
  enum class Stage : uint8_t { Header, Length, Body };
  Stage stage_ = Stage::Header;
  uint8_t header_ = 0;
  uint8_t shift_ = 0;
  uint32_t length_ = 0;
  uint32_t taken_ = 0;
  uint8_t body_[kBody];
};

// Checks and takes apart; false when the packet breaks the standard.
bool parse_publish(const Packet& packet, Publish& out);
bool parse_connack(const Packet& packet, uint8_t& code);
bool parse_puback(const Packet& packet, uint16_t& id);
// codes points into the packet; one per filter, 0x80 = refused.
bool parse_suback(const Packet& packet, uint16_t& id, const uint8_t*& codes, size_t& count);

}  // namespace mqtt
}  // namespace bpu
