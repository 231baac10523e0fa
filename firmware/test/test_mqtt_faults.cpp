// The network at its worst: cut at every byte, flooded, fed rubbish. Power is never touched by any of it.
#include "../core/mqtt_codec.h"
#include "port.h"
#include "rig.h"
#include "tests.h"

using bpu::Power;
using test::Rig;

namespace {

void cut_at_every_byte() {
  for (int32_t cut = 0; cut < 2500; cut += static_cast<int32_t>(port_stride())) {
    test::context("bytes", static_cast<uint32_t>(cut));
    Rig rig;
    rig.board.switch_on_before_start(1);
    rig.board.clear_counts();
    rig.broker.cut_after(cut);
    rig.start();
    rig.run(500);
    if (rig.app().mqtt().up()) {
      rig.command(1, "a1", "on");
      rig.command(3, "a2", "identify");
    }
    rig.run(1000);
    rig.broker.cut_after(-1);
    CHECK(rig.run_until_online(30000));
    // However much of it got through, asking again makes it so, once.
    rig.command(1, "a1", "on");
    rig.run(1000);
    CHECK(rig.power(1) == Power::On && rig.board.caddy(0).power_edges == 1);
    CHECK(rig.acked(1, "a1", "dup") || rig.acked(1, "a1", "accepted"));
    CHECK(rig.board.caddy(1).power_edges == 0 && rig.power(2) == Power::On);
    CHECK(rig.broker.errors() == 0 && rig.app().boot() == 1);
    const test::Message* kept = rig.broker.retained("caddyshack/v1/bpu/bpu-1/slot/1/state");
    CHECK(kept && strstr(kept->payload, "\"power\":\"on\""));
    kept = rig.broker.retained("caddyshack/v1/bpu/bpu-1/status");
    CHECK(kept && strcmp(kept->payload, "online") == 0);
  }
}

void flood() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  // More commands at once than there is room for answers: those that cannot be answered are not executed.
  char id[8];
  for (uint32_t i = 0; i < 300; i++) {
    bpu::TextWriter(id, sizeof id).character('f').number(i);
    rig.command(static_cast<uint8_t>(i % 3 + 1), id, "identify");
  }
  rig.run(10000);
  CHECK(rig.app().mqtt().up() && rig.broker.sessions() == 1 && rig.broker.errors() == 0);
  CHECK(rig.broker.acks() == 300);
  rig.command(1, "last", "on");
  rig.run(1000);
  CHECK(rig.acked(1, "last", "accepted") && rig.power(1) == Power::On);
  // Empty messages of QoS 1, as fast as they fit.
  const uint8_t tiny[] = {0x32, 5, 0, 1, 'x', 0, 1};
  for (int i = 0; i < 4000; i++) rig.broker.inject(tiny, sizeof tiny);
  rig.run(20000);
  CHECK(rig.app().mqtt().up() && rig.broker.acks() >= 4300);
}

void oversize() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  static char payload[100000];
  memset(payload, ' ', sizeof payload);
  const char command[] = "{\"id\":\"big\",\"op\":\"on\",\"epoch\":1,\"boot\":1,\"exp\":999}";
  memcpy(payload, command, sizeof command - 1);
  constexpr uint32_t kSizes[] = {449, 500, 5000, 100000};
  for (const uint32_t size : kSizes)
    rig.broker.publish("caddyshack/v1/bpu/bpu-1/slot/1/cmd", payload, size, false);
  rig.run(20000);
  CHECK(rig.app().mqtt().up() && rig.broker.sessions() == 1 && rig.broker.acks() == 4);
  CHECK(rig.power(1) == Power::Off && !rig.newest("slot/1/ack"));
  CHECK(rig.app().mqtt().counters().oversize == 3);
}

void rubbish() {
  struct Case {
    const char* bytes;
    size_t size;
  };
#define RAW(literal) {literal, sizeof(literal) - 1}
  static const Case kCases[] = {
      RAW("\x00\x00"), RAW("\xf0\x00"), RAW("\x10\x00"), RAW("\x20\x02\0\0"), RAW("\x30\x00"), RAW("\x30\x03\0\5ab"),
      RAW("\x36\x05\0\1a\0\1"), RAW("\x40\x01\0"), RAW("\x90\x03\0\1\1"), RAW("\x30\xff\xff\xff\xff\x7f"),
      RAW("\x82\x02\0\1"), RAW("\xd0\x01x"), RAW("\x62\x02\0\1"), RAW("\x32\x05\0\1a\0\0"),
  };
  for (const Case& one : kCases) {
    Rig rig;
    rig.start();
    CHECK(rig.run_until_online());
    const uint32_t malformed = rig.app().mqtt().counters().malformed;
    rig.broker.inject(reinterpret_cast<const uint8_t*>(one.bytes), one.size);
    rig.run(100);
    test::context("rubbish", static_cast<uint32_t>(&one - kCases));
    CHECK(rig.app().mqtt().counters().malformed == malformed + 1);
    CHECK(rig.run_until_online(30000) && rig.power(1) == Power::Off);
  }
  // An acknowledgement of something else is nobody's business.
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  const uint8_t stray[] = {0x40, 2, 0x77, 0x77};
  rig.broker.inject(stray, sizeof stray);
  rig.run(1000);
  CHECK(rig.app().mqtt().up() && rig.broker.sessions() == 1);
}

void noise() {
  test::Random random(42);
  const uint32_t rounds = 400 / port_stride() + 10;
  for (uint32_t round = 0; round < rounds; round++) {
    test::context("noise", round);
    Rig rig;
    rig.board.switch_on_before_start(0);
    rig.board.clear_counts();
    rig.start();
    CHECK(rig.run_until_online());
    uint8_t bytes[64];
    const uint32_t size = random.below(sizeof bytes) + 1;
    for (uint32_t i = 0; i < size; i++) bytes[i] = static_cast<uint8_t>(random.next());
    rig.broker.inject(bytes, size);
    rig.run(2000);
    rig.broker.drop_client();
    CHECK(rig.run_until_online(30000));
    CHECK(rig.board.caddy(0).power_edges == 0 && rig.power(1) == Power::On && rig.app().boot() == 1);
  }
}

}  // namespace

void test_mqtt_faults() {
  cut_at_every_byte();
  flood();
  oversize();
  rubbish();
  noise();
}
