// What only the whole unit shows.
#include "rig.h"
#include "tests.h"

using bpu::Power;
using test::Rig;

namespace {

// The millisecond counter wraps after 49.7 days; uptime does not, and nothing happens to power.
void long_uptime() {
  Rig rig;
  rig.board.advance(0xffffffffu - 20000);
  rig.board.switch_on_before_start(0);
  rig.board.clear_counts();
  rig.start();
  CHECK(rig.run_until_online());
  rig.run(60000, 50);
  CHECK(rig.app().uptime_s() >= 60 && rig.app().uptime_s() < 70 && rig.app().mqtt().up());
  rig.command(2, "a1", "on");
  rig.run(2000);
  CHECK(rig.acked(2, "a1", "accepted") && rig.power(2) == Power::On && rig.board.caddy(0).power_edges == 0);
}

void no_network_no_matter() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  rig.command(1, "a1", "on");
  rig.run(3000);
  rig.board.clear_counts();
  rig.esp.link = false;
  rig.broker.drop_client();
  rig.broker.refuse(true);
  rig.run(3600000, 50);
  CHECK(rig.app().boot() == 1 && rig.board.caddy(0).power_edges == 0 && rig.power(1) == Power::On);
  // The button works without anybody.
  rig.board.press(1, 200);
  rig.run(1000);
  CHECK(rig.power(2) == Power::On);
}

void storage_fails() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  rig.records.broken = true;
  rig.command(0, "u1", "config", ",\"policy\":\"on\"");
  rig.command(1, "a1", "on");
  rig.run(3000);
  CHECK(rig.acked(0, "u1", "fault") && rig.power(1) == Power::On);
  rig.records.broken = false;
  const uint32_t saves = rig.records.saves;
  rig.run(60000);
  // 600 mA at 5.08 V for a little more than a minute.
  const test::Message* telemetry = rig.newest("slot/1/telemetry");
  CHECK(telemetry && strstr(telemetry->payload, "\"ma\":600,\"mv\":5080,\"mwh\":5"));
  CHECK(rig.records.saves == saves + 1);  // what was wanted, once; a quiet unit writes nothing
}

void wants_are_saved_seldom() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  const uint32_t saves = rig.records.saves;
  char id[8];
  for (uint32_t i = 0; i < 20; i++) {
    bpu::TextWriter(id, sizeof id).character('w').number(i);
    rig.command(1, id, i % 2 ? "off" : "on");
    rig.run(250);
  }
  rig.run(2000);
  CHECK(rig.records.saves - saves <= 8);
}

void events_are_kept() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  rig.broker.refuse(true);
  rig.broker.drop_client();
  for (int i = 0; i < 20; i++) {  // more than there is room for
    rig.board.press(0, 200);
    rig.run(400);
  }
  rig.broker.refuse(false);
  rig.broker.clear_log();
  CHECK(rig.run_until_online(95000));
  uint32_t events = 0;
  for (uint32_t i = 0; i < rig.broker.count(); i++)
    if (strstr(rig.broker.logged(i).topic, "slot/1/event")) events++;
  CHECK(events >= 12);
}

// An event on its way when the connection breaks comes with the next one; an acknowledgement of something else is none.
void events_outlive_connections() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  rig.broker.drop_pubacks = true;
  rig.board.press(0, 200);
  rig.run(500);
  const uint8_t stray[] = {0x40, 2, 0x77, 0x77};
  rig.broker.inject(stray, sizeof stray);
  rig.run(100);
  rig.broker.drop_client();
  rig.run(20);
  rig.broker.drop_pubacks = false;
  rig.broker.clear_log();
  CHECK(rig.run_until_online());
  const test::Message* event = rig.newest("slot/1/event");
  CHECK(event && strstr(event->payload, "\"ev\":\"button\""));
}

// A command that there is no room to answer is not done, and is when it is sent again.
void no_room_for_an_answer() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  rig.broker.drop_pubacks = true;
  char id[8];
  for (uint32_t i = 0; i < 12; i++) {
    bpu::TextWriter(id, sizeof id).character('i').number(i);
    rig.command(2, id, "identify");
  }
  rig.command(1, "a1", "on");
  rig.run(1000);
  CHECK(rig.power(1) == Power::Off && rig.board.caddy(0).power_edges == 0);
  rig.broker.drop_pubacks = false;
  rig.broker.drop_client();
  rig.run(20);
  CHECK(rig.run_until_online());
  rig.command(1, "a1", "on");
  rig.run(1000);
  CHECK(rig.power(1) == Power::On && rig.acked(1, "a1", "accepted"));
}

// What may take its time waits for the end of a pulse: a restart, and a new connection.
void pulses_are_not_stretched() {
  Rig rig;
  rig.board.switch_on_before_start(0);
  rig.start();
  CHECK(rig.run_until_online());
  rig.broker.drop_client();
  rig.run(20);
  const uint32_t opens = rig.broker.opens();
  for (int i = 0; i < 40; i++) {
    rig.app().slot(0).command(bpu::Op::Reset, 0, bpu::LedMode::Off);
    rig.run(100);
  }
  CHECK(rig.broker.opens() == opens && rig.run_until_online());
  rig.board.clear_counts();
  rig.command(1, "a1", "shutdown");
  rig.command(0, "u1", "reboot");
  rig.run(700);
  CHECK(rig.app().boot() == 1 && (rig.board.caddy(0).outputs & bpu::out::kShutdownRequest));
  rig.run(2500);
  CHECK(rig.app().boot() == 2 && rig.board.caddy(0).shutdown_pulses == 1);
}

// A shutdown that names no time gets the one of the settings.
void configured_wait() {
  Rig rig;
  bpu::Config config = test::default_config();
  config.wait_s = 5;
  rig.configure(config);
  rig.board.switch_on_before_start(0);
  rig.board.caddy(0).honours_shutdown = false;
  rig.start();
  CHECK(rig.run_until_online());
  rig.command(1, "a1", "shutdown");
  rig.run(4500);
  CHECK(rig.power(1) == Power::Stopping && rig.board.caddy(0).power);
  rig.run(1500);
  CHECK(rig.power(1) == Power::Off && rig.app().slot(0).view().why == bpu::Why::Forced);
}

void busy_update() {
  Rig rig;
  rig.start();
  CHECK(rig.run_until_online());
  rig.server.silent = true;
  char more[160];
  bpu::TextWriter(more, sizeof more)
      .text(",\"url\":\"http://h/f\",\"sha256\":\"")
      .text("0000000000000000000000000000000000000000000000000000000000000000\"");
  rig.command(0, "o1", "ota", more);
  rig.run(1000);
  rig.command(0, "o2", "ota", more);
  rig.run(1000);
  CHECK(rig.acked(0, "o1", "accepted") && rig.acked(0, "o2", "busy"));
  rig.run(40000);
  CHECK_TEXT(rig.app().update().report(), "no answer");
  // Not while a slot is in the middle of something.
  rig.command(1, "a1", "on");
  rig.command(0, "o3", "ota", more);
  rig.run(1000);
  CHECK(rig.acked(0, "o3", "busy"));
  // Foreign topics that a broker should not have sent.
  const char on[] = "{\"id\":\"x1\",\"op\":\"off\",\"epoch\":9,\"boot\":1,\"exp\":9999}";
  const char* topics[] = {"other", "caddyshack/v1/bpu/bpu-2/slot/1/cmd", "caddyshack/v1/bpu/bpu-1/slot/cmd",
                          "caddyshack/v1/bpu/bpu-1/slot/12/cmd", "caddyshack/v1/bpu/bpu-1x/cmd"};
  for (const char* topic : topics) {
    uint8_t packet[200];
    bpu::mqtt::Publish message;
    message.topic = bpu::Text{topic, strlen(topic)};
    message.payload = bpu::Text{on, sizeof on - 1};
    rig.broker.inject(packet, bpu::mqtt::encode_publish(packet, sizeof packet, message));
  }
  rig.run(1000);
  CHECK(rig.power(1) == Power::On && rig.app().mqtt().up());
}

// A button that is stuck, or was down when its caddy was pulled, keeps the unit neither off the bus nor from updates.
void stuck_button() {
  for (int round = 0; round < 2; round++) {
    const bool pulled = round == 1;
    Rig rig;
    rig.start();
    CHECK(rig.run_until_online());
    rig.board.press(0, pulled ? 300 : 100000000);
    rig.run(150);
    if (pulled) rig.board.insert(0, 0);
    rig.run(5000);
    rig.broker.drop_client();
    rig.run(100);
    CHECK(!rig.app().mqtt().up() && rig.run_until_online(30000));
  }
}

// The chain tells nothing, since before a restart: the unit can be reached, says so, and switches nothing.
void blind_but_reachable() {
  for (simhw::Stuck level = 0; level <= 1; level++) {
    Rig rig;
    rig.board.switch_on_before_start(0);
    rig.board.clear_counts();
    rig.start();
    CHECK(rig.run_until_online());
    rig.board.miso = level;
    rig.reset();
    CHECK(rig.run_until_online());
    rig.command(1, "a1", "off");
    rig.command(2, "a2", "on");
    rig.command(1, "a3", "led", ",\"led\":\"on\"");
    rig.run(32000);
    CHECK(rig.acked(1, "a1", "fault") && rig.acked(2, "a2", "fault"));
    CHECK(rig.board.caddy(0).power && rig.board.caddy(0).power_edges == 0 && !rig.board.caddy(1).power);
    const test::Message* telemetry = rig.newest("telemetry");
    CHECK(telemetry && strstr(telemetry->payload, "\"chain\":") && !strstr(telemetry->payload, "\"chain\":0"));
    rig.board.miso = simhw::kAuto;
    rig.run(1000);
    rig.command(1, "a4", "off");
    rig.command(2, "a5", "on");
    rig.run(1000);
    CHECK(rig.power(1) == Power::Off && rig.power(2) == Power::On);
  }
}

void link_lamp() {
  Rig rig;
  rig.esp.link = false;
  rig.start();
  uint32_t changes[3] = {};
  const auto count = [&](uint32_t& n) {
    bool before = rig.board.led();
    for (int i = 0; i < 300; i++) {
      rig.step();
      n += rig.board.led() != before;
      before = rig.board.led();
    }
  };
  count(changes[0]);
  rig.broker.refuse(true);
  rig.esp.link = true;
  count(changes[1]);
  rig.broker.refuse(false);
  CHECK(rig.run_until_online());
  count(changes[2]);
  CHECK(changes[0] > 25 && changes[1] >= 5 && changes[1] <= 7 && changes[2] == 0 && rig.board.led());
}

}  // namespace

void test_app() {
  long_uptime();
  no_network_no_matter();
  storage_fails();
  wants_are_saved_seldom();
  events_are_kept();
  events_outlive_connections();
  no_room_for_an_answer();
  pulses_are_not_stretched();
  configured_wait();
  busy_update();
  stuck_button();
  blind_but_reachable();
  link_lamp();
}
