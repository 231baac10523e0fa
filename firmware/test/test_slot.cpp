// The power state machine on the simulated board, without a network.
#include "rig.h"
#include "tests.h"

using bpu::Code;
using bpu::LedMode;
using bpu::Op;
using bpu::Power;
using bpu::Why;
using test::Rig;

namespace {

struct Bench : Rig {
  explicit Bench(uint8_t on = 0) {
    configure(test::no_network());
    for (uint8_t i = 0; i < 3; i++)
      if (on >> i & 1) board.switch_on_before_start(i);
    board.clear_counts();
    start();
    run(3000);
  }
  bpu::Slot& one() { return app().slot(0); }
  Code command(Op op, uint16_t wait_s = 0) { return one().command(op, wait_s, LedMode::Off); }
  bool is(Power power, Why why) { return one().view().power == power && one().view().why == why; }
};

void every_command_in_every_state() {
  // Rows: on off shutdown cycle reset identify.
  struct Row {
    const char* name;
    void (*reach)(Bench&);
    Code codes[6];
  };
  static const Row kRows[] = {
      {"empty", [](Bench& b) { b.board.insert(0, 0); b.run(200); },
       {Code::Empty, Code::Empty, Code::Empty, Code::Empty, Code::Empty, Code::Empty}},
      {"off", [](Bench&) {}, {Code::Accepted, Code::Done, Code::Done, Code::Accepted, Code::Bad, Code::Done}},
      {"starting", [](Bench& b) { b.command(Op::On); b.step(); },
       {Code::Busy, Code::Accepted, Code::Busy, Code::Busy, Code::Busy, Code::Done}},
      {"on", [](Bench& b) { b.command(Op::On); b.run(4000); },
       {Code::Done, Code::Accepted, Code::Accepted, Code::Accepted, Code::Done, Code::Done}},
      {"shutting down", [](Bench& b) { b.command(Op::On); b.run(4000); b.command(Op::Shutdown); b.step(); },
       {Code::Busy, Code::Accepted, Code::Busy, Code::Busy, Code::Busy, Code::Done}},
      {"cutting", [](Bench& b) { b.command(Op::On); b.run(4000); b.board.caddy(0).fall_ms = 1000; b.command(Op::Off); b.step(); },
       {Code::Busy, Code::Accepted, Code::Busy, Code::Busy, Code::Busy, Code::Done}},
      {"pausing", [](Bench& b) { b.command(Op::On); b.run(4000); b.command(Op::Cycle); b.run(1000); },
       {Code::Busy, Code::Done, Code::Busy, Code::Busy, Code::Busy, Code::Done}},
      {"fault", [](Bench& b) { b.board.caddy(0).pgood = 0; b.command(Op::On); b.run(1000); },
       {Code::Fault, Code::Done, Code::Fault, Code::Accepted, Code::Fault, Code::Done}},
      {"backfed", [](Bench& b) { b.board.caddy(0).backfed = true; b.run(3000); },
       {Code::Fault, Code::Accepted, Code::Fault, Code::Accepted, Code::Fault, Code::Done}},
  };
  constexpr Op kOps[6] = {Op::On, Op::Off, Op::Shutdown, Op::Cycle, Op::Reset, Op::Identify};
  for (const Row& row : kRows) {
    for (int i = 0; i < 6; i++) {
      Bench b;
      row.reach(b);
      test::context(row.name, static_cast<uint32_t>(i));
      const Code code = b.command(kOps[i]);
      if (code != row.codes[i]) test::print(bpu::name(code));
      CHECK(code == row.codes[i]);
      b.run(9000);
    }
  }
}

void confirmation() {
  Bench b;
  // Within the 200 ms, and not.
  b.board.caddy(0).rise_ms = 150;
  CHECK(b.command(Op::On) == Code::Accepted);
  b.run(100);
  CHECK(b.is(Power::Starting, Why::Command));
  b.run(100);
  CHECK(b.is(Power::On, Why::Command));
  b.board.caddy(0).fall_ms = 1900;
  CHECK(b.command(Op::Off) == Code::Accepted);
  b.run(1800);
  CHECK(b.is(Power::Stopping, Why::Command) && !b.board.caddy(0).power);
  b.run(300);
  CHECK(b.is(Power::Off, Why::Command));
  b.board.caddy(0).rise_ms = 260;
  b.command(Op::On);
  b.run(400);
  CHECK(b.is(Power::Fault, Why::NoPower) && !b.board.caddy(0).power && b.one().view().want);
  // off clears it; back-fed, it does not come off.
  CHECK(b.command(Op::Off) == Code::Done);
  b.board.caddy(0).rise_ms = 20;
  b.command(Op::On);
  b.run(500);
  b.board.caddy(0).backfed = true;
  b.command(Op::Off);
  b.run(2500);
  CHECK(b.is(Power::Fault, Why::StuckOn));
  b.command(Op::Off);
  b.run(200);
  b.board.caddy(0).backfed = false;
  b.run(200);
  CHECK(b.is(Power::Off, Why::Command));
}

void slow_loop() {
  // A loop held up for seconds (a TLS handshake) neither fails a start nor misses a state.
  Bench b;
  b.command(Op::On);
  b.step();
  b.step(5000);
  CHECK(b.is(Power::Starting, Why::Command));
  b.step();
  b.step();
  CHECK(b.is(Power::On, Why::Command));
}

void overload_count() {
  Bench b(1);
  b.board.caddy(0).shorted = true;
  b.run(20000);
  CHECK(b.is(Power::Fault, Why::Overload) && b.board.caddy(0).power_edges == 7);
  // Thirty good seconds forget the tries.
  b.command(Op::Off);
  b.board.caddy(0).shorted = false;
  b.command(Op::On);
  b.run(1000);
  for (int round = 0; round < 5; round++) {
    b.board.caddy(0).shorted = true;
    b.run(500);
    CHECK(b.is(Power::Fault, Why::Overload));
    b.board.caddy(0).shorted = false;
    b.run(35000);
    CHECK(b.is(Power::On, Why::Overload));
  }
  // Without them they add up.
  for (int round = 0; round < 4; round++) {
    b.board.caddy(0).shorted = true;
    b.run(500);
    b.board.caddy(0).shorted = false;
    b.run(4000);
  }
  CHECK(b.is(Power::Fault, Why::Overload));
}

void graceful() {
  Bench b(7);
  // Honours: one pulse of 800 ms, then off 2.5 s after it has halted.
  CHECK(b.command(Op::Shutdown, 30) == Code::Accepted);
  b.run(700);
  CHECK(b.board.caddy(0).outputs & bpu::out::kShutdownRequest);
  b.run(200);
  CHECK(!(b.board.caddy(0).outputs & bpu::out::kShutdownRequest));
  b.run(7000);
  CHECK(b.is(Power::Off, Why::Halted) && b.board.caddy(0).shutdown_pulses == 1);
  // Already halted: no need to wait for the end.
  b.board.halt(1);
  b.run(4000);
  CHECK(b.app().slot(1).view().power == Power::On && !b.app().slot(1).view().alive);
  b.app().slot(1).command(Op::Shutdown, 60, LedMode::Off);
  b.run(4000);
  CHECK(b.app().slot(1).view().power == Power::Off);
  // Never known to live: it may just have no wire for it, so it gets its whole time.
  b.board.caddy(2).alive = 0;
  b.command(Op::On);
  b.run(5000);
  b.board.caddy(0).alive = 0;
  Bench c;
  c.board.caddy(0).alive = 0;
  c.command(Op::On);
  c.run(5000);
  c.command(Op::Shutdown, 10);
  c.run(9000);
  CHECK(c.is(Power::Stopping, Why::Command));
  c.run(2000);
  CHECK(c.is(Power::Off, Why::Forced));
  // Power goes while it shuts down.
  c.command(Op::On);
  c.run(1000);
  c.command(Op::Shutdown, 10);
  c.run(100);
  c.board.caddy(0).pgood = 0;
  c.run(100);
  CHECK(c.one().view().power == Power::Off && !c.board.caddy(0).power);
}

void button() {
  Bench b;
  b.board.press(0, 20);  // a bounce
  b.run(500);
  CHECK(b.is(Power::Off, Why::Boot));
  b.board.press(0, 300);
  b.run(500);
  CHECK(b.is(Power::On, Why::Button));
  b.run(3000);
  b.board.press(0, 300);
  b.run(500);
  CHECK(b.is(Power::Stopping, Why::Button));
  b.board.press(0, 300);  // nothing more to ask
  b.run(500);
  b.board.press(0, 2200);
  b.run(2500);
  CHECK(b.is(Power::Off, Why::Button) && b.board.caddy(0).shutdown_pulses == 1);
  b.board.press(0, 2200);  // long when off: stays off
  b.run(2500);
  CHECK(b.one().view().power == Power::Off);
  b.board.caddy(0).pgood = 0;
  b.command(Op::On);
  b.run(500);
  CHECK(b.is(Power::Fault, Why::NoPower));
  b.board.press(0, 300);
  b.run(500);
  CHECK(b.is(Power::Fault, Why::NoPower));
  b.board.press(0, 2200);
  b.run(2500);
  CHECK(b.is(Power::Off, Why::Button));
  // Held since before the start: somebody leans on it.
  b.board.caddy(0).pgood = simhw::kAuto;
  b.board.press(0, 10000);
  b.reset();
  b.run(9000);
  CHECK(b.one().view().power == Power::Off);
  b.run(2000);
  b.board.press(0, 300);
  b.run(500);
  CHECK(b.one().view().power == Power::On);
  b.board.press(0, 4000);
  b.reset();
  b.run(6000);
  CHECK(b.one().view().power == Power::On);
}

// A sign of life that fails for less than 2.5 s says nothing.
void signs_of_life() {
  Bench b(1);
  CHECK(b.one().view().alive);
  b.board.caddy(0).alive = 0;
  b.run(1900);
  CHECK(b.one().view().alive);
  b.board.caddy(0).alive = simhw::kAuto;
  b.run(1000);
  b.board.caddy(0).alive = 0;
  b.run(1900);
  CHECK(b.one().view().alive);
  b.run(1500);
  CHECK(!b.one().view().alive);
}

void plugging() {
  Bench b(1);
  // The type cannot be read for a moment: nothing happens.
  b.board.caddy(0).type = 0;
  b.board.caddy(0).pgood = 1;
  b.run(900);
  CHECK(b.one().view().power == Power::On);
  b.board.caddy(0).type = 1;
  b.run(500);
  CHECK(b.one().view().power == Power::On && b.board.caddy(0).power_edges == 0);
  // For good.
  b.board.caddy(0).type = 0;
  b.run(1200);
  CHECK(b.is(Power::Empty, Why::Removed) && !b.board.caddy(0).power);
  b.board.caddy(0).pgood = simhw::kAuto;
  b.run(500);
  // Contacts bounce.
  for (int i = 0; i < 10; i++) {
    b.board.insert(0, i % 2 ? 1 : 0);
    b.run(30);
  }
  CHECK(b.one().view().power == Power::Empty);
  b.board.insert(0, 2);
  b.run(200);
  CHECK(b.is(Power::Off, Why::Inserted) && b.one().view().type == 2);
  // Pulled in every other state.
  b.command(Op::On);
  b.step();
  b.board.insert(0, 0);
  b.run(200);
  CHECK(b.one().view().power == Power::Empty);
  b.board.insert(0, 1);
  b.run(200);
  b.command(Op::On);
  b.run(500);
  b.command(Op::Cycle);
  b.board.caddy(0).pgood = 1;
  b.board.insert(0, 0);
  b.run(1500);
  CHECK(b.one().view().power == Power::Empty);
  b.board.caddy(0).pgood = simhw::kAuto;
  b.board.insert(0, 1);
  b.run(200);
  b.board.caddy(0).pgood = 0;
  b.command(Op::On);
  b.run(1000);
  b.board.insert(0, 0);
  b.run(200);
  CHECK(b.is(Power::Empty, Why::Removed));
  // What carries the network is switched on when put back.
  b.board.caddy(0).pgood = simhw::kAuto;
  b.board.caddy(0).always_on = true;
  b.board.insert(0, 4);
  b.run(500);
  CHECK(b.one().view().power == Power::On && b.one().view().always_on);
  // The type jumper changes under power.
  b.board.caddy(0).type = 5;
  b.run(200);
  CHECK(b.one().view().power == Power::On && b.one().view().type == 5);
  // The shift unit of the last slot is gone: nothing there, and nothing else changes.
  b.app().slot(1).command(Op::On, 0, LedMode::Off);
  b.run(500);
  b.board.set_units(2);
  b.run(1500);
  CHECK(b.app().slot(2).view().power == Power::Empty && b.app().slot(1).view().power == Power::On);
}

// The chain's data line is open, or shorted: no slot loses its power for that.
void blind() {
  for (simhw::Stuck level = 0; level <= 1; level++) {
    Bench b(3);
    b.board.miso = level;
    b.run(20000);
    b.board.miso = simhw::kAuto;
    b.run(1000);
    for (uint8_t i = 0; i < 2; i++)
      CHECK(b.app().slot(i).view().power == Power::On && b.board.caddy(i).power_edges == 0);
  }
}

// Pulses end though nothing can be seen: a caddy held in reset is as good as off.
void blind_in_a_pulse() {
  for (simhw::Stuck level = 0; level <= 1; level++) {
    constexpr Op kOps[] = {Op::Reset, Op::Shutdown};
    for (const Op op : kOps) {
      Bench b(1);
      b.command(op, 60);
      b.run(50);
      CHECK(b.board.caddy(0).outputs & bpu::out::kPulses);
      b.board.miso = level;
      b.run(1000);
      CHECK(!(b.board.caddy(0).outputs & bpu::out::kPulses) && b.board.caddy(0).power);
    }
  }
}

// The fourth slot has power, and the data line is bad just when the processor starts.
void blind_at_start() {
  for (simhw::Stuck level = 0; level <= 1; level++) {
    Rig rig(4);
    rig.configure(test::no_network());
    rig.start();
    rig.run(1000);
    rig.app().slot(3).command(Op::On, 0, LedMode::Off);
    rig.run(1000);
    rig.board.clear_counts();
    rig.board.miso = level;
    rig.reset();
    rig.run(3000);
    rig.board.miso = simhw::kAuto;
    rig.run(3000);
    CHECK(rig.power(4) == Power::On && rig.board.caddy(3).power && rig.board.caddy(3).power_edges == 0);
  }
}

void lamps() {
  Bench b;
  b.one().command(Op::Led, 0, LedMode::On);
  b.step();
  CHECK(b.board.caddy(0).outputs & bpu::out::kLed);
  b.one().command(Op::Identify, 1, LedMode::Off);
  uint32_t changes = 0;
  uint8_t before = 0;
  for (int i = 0; i < 100; i++) {
    b.step();
    const uint8_t lit = b.board.caddy(0).outputs & bpu::out::kLed;
    changes += lit != before;
    before = lit;
  }
  CHECK(changes >= 8 && changes <= 12);  // every 100 ms
  b.run(200);
  CHECK(b.board.caddy(0).outputs & bpu::out::kLed);
  CHECK(!(b.board.caddy(0).outputs & bpu::out::kUartEnable));
  b.command(Op::On);
  b.run(500);
  CHECK(b.board.caddy(0).outputs & bpu::out::kUartEnable);
  b.board.caddy(0).shorted = true;
  b.run(500);
  CHECK(b.board.caddy(0).outputs & bpu::out::kLedFault);
  CHECK(!b.board.led());  // one of two flashes in 1.6 s tells that nothing is set up
}

void cold_starts() {
  for (uint8_t policy = 0; policy < 3; policy++) {
    Rig rig;
    bpu::Config config = test::no_network();
    config.policy = static_cast<bpu::Policy>(policy);
    config.hold_s = 10;
    config.stagger_ms = 500;
    config.index = 1;
    rig.configure(config);
    rig.board.caddy(1).type = 0;
    rig.board.caddy(2).always_on = true;
    rig.start();
    rig.run(4000);
    CHECK(rig.power(3) == Power::On && rig.power(1) == Power::Off && rig.power(2) == Power::Empty);
    rig.run(7900);
    CHECK(rig.power(1) == Power::Off);  // 10 s and four turns of 0.5 s
    rig.run(300);
    CHECK((rig.power(1) == Power::On) == (policy == 2));
    rig.app().slot(0).command(Op::On, 0, LedMode::Off);
    rig.run(2000);
    rig.power_loss();
    rig.run(14000);
    CHECK((rig.power(1) == Power::On) == (policy != 0));
    CHECK(rig.power(2) == Power::Empty && rig.power(3) == Power::On);
  }
}

void names() {
  CHECK_TEXT(bpu::name(Code::AlwaysOn), "always_on");
  CHECK_TEXT(bpu::name(Why::StuckOn), "stuck_on");
  CHECK_TEXT(bpu::name(bpu::Event::Halted), "halted");
  CHECK_TEXT(bpu::name(LedMode::Blink), "blink");
  CHECK_TEXT(bpu::name(Power::Fault), "fault");
  CHECK_TEXT(bpu::name(bpu::Policy::Last), "last");
}

}  // namespace

void test_slot() {
  every_command_in_every_state();
  confirmation();
  slow_loop();
  overload_count();
  graceful();
  button();
  signs_of_life();
  plugging();
  blind();
  blind_in_a_pulse();
  blind_at_start();
  lamps();
  cold_starts();
  names();
}

// Runs last: every transition that the design allows has happened in some test, and no other.
void test_transitions() {
  static const char* const kStates = "EOSNPF";  // empty, off, starting, on, stopping, fault
  const auto bit = [](Power p) { return static_cast<uint8_t>(1 << static_cast<uint8_t>(p)); };
  const uint8_t allowed[6] = {
      bit(Power::Off),
      static_cast<uint8_t>(bit(Power::Starting) | bit(Power::Fault) | bit(Power::Empty)),
      static_cast<uint8_t>(bit(Power::On) | bit(Power::Fault) | bit(Power::Stopping) | bit(Power::Empty)),
      static_cast<uint8_t>(bit(Power::Stopping) | bit(Power::Fault) | bit(Power::Empty)),
      static_cast<uint8_t>(bit(Power::Stopping) | bit(Power::Off) | bit(Power::Fault) | bit(Power::Empty)),
      static_cast<uint8_t>(bit(Power::Starting) | bit(Power::Off) | bit(Power::Stopping) | bit(Power::Empty)),
  };
  for (int from = 0; from < 6; from++) {
    for (int to = 0; to < 6; to++) {
      const bool want = allowed[from] >> to & 1, got = test::visited[from] >> to & 1;
      if (want == got) continue;
      char arrow[6] = {kStates[from], '-', '>', kStates[to], '\n', 0};
      test::print(arrow);
      CHECK(want == got);
    }
  }
}
