// The client inside a whole unit, against the broker of the rig: sessions, keepalive, back-off, refusals.
#include "rig.h"
#include "tests.h"

using bpu::Power;
using test::Rig;

namespace {

void session() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  CHECK(rig.broker.sessions() == 1 && rig.broker.errors() == 0);
  CHECK_TEXT(rig.broker.client_id, "bpu-1");
  CHECK_TEXT(rig.broker.user, "bpu-1");
  CHECK(rig.broker.keepalive() == 15);
  const test::Message* info = rig.newest("info");
  CHECK(info && info->retain && info->qos == 1);
  CHECK(strstr(info->payload, "\"fw\":\"1.0.0\"") && strstr(info->payload, "\"mac\":\"5c:cf:7f:00:00:01\""));
  const test::Message* telemetry = rig.newest("telemetry");
  CHECK(telemetry && !telemetry->retain && telemetry->qos == 0);
}

void keepalive() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  rig.run(59000);
  CHECK(rig.broker.pings() >= 3 && rig.broker.sessions() == 1);
  // Half open: nothing comes back any more. Noticed within two thirds of the keepalive and ten seconds more.
  rig.broker.deaf = true;
  rig.run(21000);
  CHECK(!rig.app().mqtt().up());
  rig.broker.deaf = false;
  rig.run(20000);
  CHECK(rig.app().mqtt().up() && rig.broker.sessions() == 2);
  // Acknowledgements alone are missing.
  rig.broker.drop_pubacks = true;
  rig.command(1, "a1", "on");
  rig.run(12000);
  CHECK(rig.broker.sessions() >= 2 && rig.power(1) == Power::On);
  rig.broker.drop_pubacks = false;
  rig.broker.clear_log();
  CHECK(rig.run_until_online());
  CHECK(rig.acked(1, "a1", "accepted"));  // the ack was kept over the lost connection
}

// Time until the next try to connect.
uint32_t next_try(Rig& rig) {
  const uint32_t opens = rig.broker.opens();
  uint32_t ms = 0;
  for (; ms < 120000 && rig.broker.opens() == opens; ms += 50) rig.step(50);
  return ms;
}

// Tries come 1, 2, 4 … 60 s apart, each between half and one and a half of it, and not all the same.
void backoff() {
  Rig rig;
  rig.broker.refuse(true);
  rig.start();
  next_try(rig);
  uint32_t base = 1000, last = 0, different = 0;
  for (int i = 0; i < 12; i++) {
    test::context("try", static_cast<uint32_t>(i));
    const uint32_t gap = next_try(rig);
    CHECK(gap >= base / 2 && gap <= base + base / 2 + 150);
    different += base == 60000 && gap != last;
    last = gap;
    base = base * 2 < 60000 ? base * 2 : 60000;
  }
  CHECK(different >= 3);
  CHECK(rig.esp.restarts == 0 && rig.app().boot() == 1);
  rig.broker.refuse(false);
  CHECK(rig.run_until_online(95000));
  // A connection that has held for a while makes it start anew.
  rig.run(31000);
  rig.broker.refuse(true);
  rig.broker.drop_client();
  CHECK(next_try(rig) <= 1650);
  rig.broker.refuse(false);
  CHECK(rig.run_until_online(95000));
  // Wi-Fi gone: no try at all, and nothing else happens.
  rig.esp.link = false;
  rig.broker.drop_client();
  const uint32_t sessions = rig.broker.sessions();
  rig.run(100000, 50);
  CHECK(rig.broker.sessions() == sessions);
  rig.esp.link = true;
  CHECK(rig.run_until_online());
}

void refusals() {
  Rig rig;
  rig.broker.connack = 5;
  rig.start();
  rig.run(5000);
  CHECK(!rig.app().mqtt().up());
  rig.broker.connack = 0;
  CHECK(rig.run_until_online(95000));
  // A broker that hides controller/status is good enough; one that hides commands is not.
  Rig hidden;
  hidden.broker.suback[2] = 0x80;
  hidden.start();
  CHECK(hidden.run_until_online());
  Rig useless;
  useless.broker.suback[1] = 0x80;
  useless.start();
  useless.run(5000);
  CHECK(!useless.app().mqtt().up());
  // A connection that never opens, and answers that never come.
  Rig silent;
  silent.broker.deaf = true;
  silent.start();
  silent.run(30000);
  CHECK(!silent.app().mqtt().up());
  silent.broker.deaf = false;
  CHECK(silent.run_until_online(95000));
  silent.broker.stuck = true;
  silent.run(40000);
  CHECK(!silent.app().mqtt().up());
}

// Bytes move one at a time: packets arrive and leave in pieces.
void trickle() {
  Rig rig;
  rig.broker.window = 1;
  rig.start();
  CHECK(rig.run_until_online());
  rig.command(2, "a1", "on");
  rig.run(3000);
  CHECK(rig.power(2) == Power::On && rig.acked(2, "a1", "accepted") && rig.broker.errors() == 0);
}

}  // namespace

void test_mqtt_client() {
  session();
  keepalive();
  backoff();
  refusals();
  trickle();
}
