// Any bytes as a stream from a broker, in pieces: the packets do not depend on how the stream is cut.
#include "../core/mqtt_codec.h"

using namespace bpu::mqtt;

namespace {

uint32_t digest(const uint8_t* data, size_t size, size_t piece) {
  PacketReader reader;
  uint32_t sum = 0;
  for (size_t at = 0; at < size; at += piece) {
    const uint8_t* from = data + at;
    const uint8_t* end = data + (at + piece < size ? at + piece : size);
    Packet packet;
    while (true) {
      const PacketReader::Result result = reader.feed(from, end, packet);
      if (result == PacketReader::Result::More) break;
      if (result == PacketReader::Result::Malformed) return sum * 31 + 7;
      sum = sum * 31 + packet.type * 1000u + static_cast<uint32_t>(packet.size);
      Publish publish;
      uint16_t id = 0;
      uint8_t code = 0;
      const uint8_t* codes = nullptr;
      size_t count = 0;
      if (parse_publish(packet, publish))
        sum += static_cast<uint32_t>(publish.topic.size * 3 + publish.payload.size * 5) + publish.id;
      if (parse_puback(packet, id)) sum += id;
      if (parse_connack(packet, code)) sum += code;
      if (parse_suback(packet, id, codes, count) && count > 0) sum += codes[count - 1];
    }
  }
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const uint32_t whole = digest(data, size, size + 1);
  if (digest(data, size, 1) != whole || digest(data, size, 7) != whole) __builtin_trap();
  return 0;
}
