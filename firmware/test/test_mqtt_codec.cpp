#include "../core/mqtt_codec.h"
#include "test.h"
#include "tests.h"

using namespace bpu::mqtt;
using bpu::Text;

namespace {

bool equal(const uint8_t* got, size_t size, const char* want, size_t want_size) {
  return size == want_size && memcmp(got, want, size) == 0;
}
#define BYTES(literal) literal, sizeof(literal) - 1

void encoding() {
  uint8_t out[300];
  const Connect connect = {"c", "u", "p", "w", "off", 15};
  CHECK(equal(out, encode_connect(out, sizeof out, connect),
              BYTES("\x10\x1b\0\4MQTT\4\xee\0\x0f\0\1c\0\1w\0\3off\0\1u\0\1p")));
  const Connect anonymous = {"c", "", "", "w", "off", 15};
  CHECK(equal(out, encode_connect(out, sizeof out, anonymous), BYTES("\x10\x15\0\4MQTT\4\x2e\0\x0f\0\1c\0\1w\0\3off")));
  CHECK(encode_connect(out, 20, connect) == 0 && encode_connect(out, 2, connect) == 0);
  Publish message;
  message.topic = Text{"a/b", 3};
  message.payload = Text{"hi", 2};
  CHECK(equal(out, encode_publish(out, sizeof out, message), BYTES("\x30\7\0\3a/bhi")));
  message.qos = 1;
  message.retain = message.dup = true;
  message.id = 0x1234;
  CHECK(equal(out, encode_publish(out, sizeof out, message), BYTES("\x3b\t\0\3a/b\x12\x34hi")));
  char big[200];
  memset(big, 'x', sizeof big);
  message.payload = Text{big, sizeof big};
  const size_t size = encode_publish(out, sizeof out, message);
  CHECK(size == 3 + 7 + 200 && out[1] == (207 & 127) + 128 && out[2] == 1);
  CHECK(encode_publish(out, 100, message) == 0);
  const char* filters[] = {"a", "b/+"};
  CHECK(equal(out, encode_subscribe(out, sizeof out, 7, filters, 2), BYTES("\x82\x0c\0\7\0\1a\0\0\3b/+\0")));
  CHECK(equal(out, encode_puback(out, sizeof out, 0x102), BYTES("\x40\2\1\2")) && encode_puback(out, 3, 1) == 0);
  CHECK(equal(out, encode_empty(out, sizeof out, Type::Pingreq), BYTES("\xc0\0")) && encode_empty(out, 1, Type::Pingreq) == 0);
}

// A stream of packets, fed in pieces of every size.
void reading() {
  uint8_t stream[1200];
  size_t size = 0;
  Publish message;
  char payload[420];
  memset(payload, 'y', sizeof payload);
  constexpr size_t kSizes[] = {0, 1, 120, 420};
  for (const size_t n : kSizes) {
    message.topic = Text{"topic", 5};
    message.payload = Text{payload, n};
    size += encode_publish(stream + size, sizeof stream - size, message);
  }
  size += encode_empty(stream + size, sizeof stream - size, Type::Pingresp);
  for (size_t piece = 1; piece < 80; piece++) {
    PacketReader reader;
    uint32_t packets = 0;
    size_t bytes = 0;
    for (size_t at = 0; at < size; at += piece) {
      const uint8_t* from = stream + at;
      const uint8_t* end = stream + (at + piece < size ? at + piece : size);
      Packet packet;
      while (reader.feed(from, end, packet) == PacketReader::Result::Packet) {
        packets++;
        Publish got;
        if (packet.type == 3) {
          CHECK(parse_publish(packet, got) && got.topic.is("topic"));
          bytes += got.payload.size;
        }
      }
    }
    CHECK(packets == 5 && bytes == 541);
  }
}

void oversize() {
  PacketReader reader;
  const uint8_t head[] = {0x32, 0xff, 0xff, 0x03, 0, 1, 't', 0, 9};  // 65535 bytes
  uint8_t filler[1000];
  memset(filler, 'z', sizeof filler);
  Packet packet;
  const uint8_t* at = head;
  CHECK(reader.feed(at, head + sizeof head, packet) == PacketReader::Result::More);
  uint32_t left = 65535 - 5;
  bool done = false;
  while (!done && left > 0) {
    const uint32_t n = left < sizeof filler ? left : static_cast<uint32_t>(sizeof filler);
    at = filler;
    done = reader.feed(at, filler + n, packet) == PacketReader::Result::Packet;
    left -= n;
  }
  Publish got;
  CHECK(done && packet.truncated && parse_publish(packet, got) && got.truncated && got.id == 9);
  // Its length takes five bytes: nobody's packet.
  const uint8_t bad[] = {0x30, 0xff, 0xff, 0xff, 0xff, 0x01};
  at = bad;
  CHECK(reader.feed(at, bad + sizeof bad, packet) == PacketReader::Result::Malformed);
}

Packet body(uint8_t type, uint8_t flags, const void* data, size_t size) {
  Packet packet;
  packet.type = type;
  packet.flags = flags;
  packet.body = static_cast<const uint8_t*>(data);
  packet.size = size;
  return packet;
}

void malformed() {
  Publish p;
  uint16_t id = 0;
  uint8_t code = 0;
  const uint8_t* codes = nullptr;
  size_t count = 0;
  CHECK(!parse_publish(body(3, 0, BYTES("")), p));
  CHECK(!parse_publish(body(3, 0, BYTES("\0")), p));
  CHECK(!parse_publish(body(3, 0, BYTES("\0\0x")), p));         // no topic
  CHECK(!parse_publish(body(3, 0, BYTES("\0\5abc")), p));       // longer than the packet
  CHECK(!parse_publish(body(3, 0, BYTES("\0\3a+c")), p));       // a wildcard
  CHECK(!parse_publish(body(3, 0, BYTES("\0\3a\0c")), p));
  CHECK(!parse_publish(body(3, 2, BYTES("\0\1a\1")), p));       // half an id
  CHECK(!parse_publish(body(3, 2, BYTES("\0\1a\0\0")), p));     // id 0
  CHECK(!parse_publish(body(3, 4, BYTES("\0\1a\0\1")), p));     // QoS 2 was not asked for
  CHECK(!parse_publish(body(3, 6, BYTES("\0\1a\0\1")), p));
  CHECK(parse_publish(body(3, 11, BYTES("\0\1a\0\1")), p) && p.dup && p.retain && p.payload.size == 0);
  CHECK(parse_connack(body(2, 0, BYTES("\0\5")), code) && code == 5);
  CHECK(!parse_connack(body(2, 0, BYTES("\2\0")), code) && !parse_connack(body(2, 0, BYTES("\0")), code) &&
        !parse_connack(body(2, 1, BYTES("\0\0")), code));
  CHECK(parse_puback(body(4, 0, BYTES("\1\2")), id) && id == 0x102);
  CHECK(!parse_puback(body(4, 0, BYTES("\1")), id) && !parse_puback(body(4, 2, BYTES("\1\2")), id));
  CHECK(parse_suback(body(9, 0, BYTES("\0\1\1\x80")), id, codes, count) && count == 2 && codes[1] == 0x80);
  CHECK(!parse_suback(body(9, 0, BYTES("\0\1")), id, codes, count) && !parse_suback(body(9, 1, BYTES("\0\1\1")), id, codes, count));
}

}  // namespace

void test_mqtt_codec() {
  encoding();
  reading();
  oversize();
  malformed();
}
