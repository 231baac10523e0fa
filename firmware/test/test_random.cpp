// Random commands, resets, losses of power and network; after each round of them what was read back, what is
// published and what was commanded must agree.
#include "port.h"
#include "rig.h"
#include "tests.h"

using bpu::Power;
using test::Rig;

namespace {

const char* const kOps[] = {"on", "off", "shutdown", "cycle", "reset", "identify"};

void disturb(Rig& rig, test::Random& random, uint32_t& id) {
  const uint8_t slot = static_cast<uint8_t>(random.below(3));
  switch (random.below(14)) {
    case 0: rig.reset(); break;
    case 1: rig.board.cut_after(random.below(3000)); break;
    case 2: rig.power_loss(); break;
    case 3: rig.broker.drop_client(); break;
    case 4: rig.broker.cut_after(static_cast<int32_t>(random.below(600))); break;
    case 5: rig.board.press(slot, random.below(3000)); break;
    case 6: rig.board.insert(slot, static_cast<uint8_t>(random.below(3))); break;
    case 7: rig.board.caddy(slot).shorted = random.below(2); break;
    case 8: rig.board.halt(slot); break;
    case 9: rig.broker.refuse(random.below(2)); break;
    default: {
      char text[12];
      bpu::TextWriter(text, sizeof text).character('r').number(id++);
      rig.command(static_cast<uint8_t>(slot + 1), text, kOps[random.below(6)]);
    }
  }
}

// Lets everything come to rest.
void calm(Rig& rig) {
  rig.broker.refuse(false);
  rig.broker.cut_after(-1);
  for (uint8_t i = 0; i < 3; i++) rig.board.caddy(i).shorted = false;
  for (int i = 0; i < 12000; i++) {
    rig.step(20);
    if (rig.board.alive_mcu()) continue;
    rig.reset();
  }
  CHECK(rig.run_until_online(95000));
}

void agree(Rig& rig) {
  for (uint8_t i = 0; i < 3; i++) {
    const bpu::SlotView view = rig.app().slot(i).view();
    CHECK(view.pgood == rig.board.pgood(i));
    CHECK((view.power == Power::On) == rig.board.caddy(i).power);
    if (view.power == Power::On) CHECK(view.pgood && view.want);
    if (view.power == Power::Off) CHECK(!view.pgood && !view.want);
    CHECK(view.power == Power::On || view.power == Power::Off || view.power == Power::Fault || view.power == Power::Empty);
    CHECK((rig.board.caddy(i).type == 0) == (view.power == Power::Empty));
    char topic[80], want[40];
    bpu::TextWriter(topic, sizeof topic).text("caddyshack/v1/bpu/bpu-1/slot/").number(i + 1u).text("/state");
    bpu::TextWriter(want, sizeof want).text("\"power\":\"").text(bpu::name(view.power)).character('"');
    const test::Message* kept = rig.broker.retained(topic);
    CHECK(kept && strstr(kept->payload, want));
  }
  CHECK(rig.broker.errors() == 0);
}

// With the world at rest a command does what it says.
void obey(Rig& rig, uint32_t& id) {
  for (uint8_t slot = 1; slot <= 3; slot++) {
    rig.board.insert(static_cast<uint8_t>(slot - 1), 1);
    rig.run(500);
    for (int on = 0; on < 2; on++) {
      char text[12];
      bpu::TextWriter(text, sizeof text).character('o').number(id++);
      rig.command(slot, text, on && rig.power(slot) == Power::Fault ? "cycle" : on ? "on" : "off");
      rig.run(7000, 20);
      CHECK(rig.power(slot) == (on ? Power::On : Power::Off) && rig.board.caddy(static_cast<uint8_t>(slot - 1)).power == (on == 1));
    }
  }
}

}  // namespace

void test_random() {
  const uint32_t seeds = port_stride() == 1 ? 12 : 1;
  for (uint32_t seed = 1; seed <= seeds; seed++) {
    test::Random random(seed);
    Rig rig;
    bpu::Config config = test::default_config();
    config.policy = static_cast<bpu::Policy>(seed % 3);
    config.hold_s = 5;
    config.stagger_ms = 200;
    rig.configure(config);
    rig.start();
    uint32_t id = 0;
    for (int round = 0; round < 6; round++) {
      test::context("seed", seed * 100 + static_cast<uint32_t>(round));
      for (int i = 0; i < 25; i++) {
        disturb(rig, random, id);
        for (uint32_t ms = random.below(1500); ms > 0; ms = ms > 20 ? ms - 20 : 0) {
          rig.step(20);
          if (!rig.board.alive_mcu()) rig.reset();
        }
      }
      calm(rig);
      agree(rig);
      rig.broker.clear_log();
      if (round % 3 == 2) obey(rig, id);
      rig.broker.clear_log();
    }
  }
}
