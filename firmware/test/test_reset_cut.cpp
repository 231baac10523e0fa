// The processor is reset at every single operation on a pin, on the RTC memory or on a record in flash, in every
// state of a slot. What a caddy gets must be what it got before, or what had been decided: never anything else.
#include "port.h"
#include "rig.h"
#include "tests.h"

using bpu::LedMode;
using bpu::Op;
using bpu::Power;
using test::Rig;

namespace {

struct Case {
  const char* name;
  void (*reach)(Rig&);      // uncut
  void (*act)(Rig&);        // cut from here on, for
  uint32_t window_ms;
  uint32_t settle_ms;       // after the restart
  bool (*good)(Rig&);
  const char* expectation;
};

void command(Rig& rig, Op op, uint16_t wait_s = 0) { rig.app().slot(0).command(op, wait_s, LedMode::Off); }
void nothing(Rig&) {}
const simhw::Caddy& first(Rig& rig) { return rig.board.caddy(0); }

void reach_on(Rig& rig) {
  command(rig, Op::On);
  rig.run(3000);
}

// Off and in fault since before the restart, for the same reason.
bool kept_fault(Rig& rig, bpu::Why why) {
  return !first(rig).power && first(rig).power_edges == 0 && rig.power(1) == Power::Fault && rig.app().slot(0).view().why == why;
}

bool untouched_on(Rig& rig) { return first(rig).power && first(rig).power_edges == 0 && rig.power(1) == Power::On; }

const Case kCases[] = {
    {"off", nothing, nothing, 40, 3000,
     [](Rig& r) { return !first(r).power && first(r).power_edges == 0 && r.power(1) == Power::Off; }, "stays off"},
    {"on", reach_on, nothing, 40, 3000, untouched_on, "stays on"},
    {"switching on", nothing, [](Rig& r) { command(r, Op::On); }, 20, 4000,
     [](Rig& r) {
       return first(r).power ? first(r).power_edges == 1 && r.power(1) == Power::On
                             : first(r).power_edges == 0 && r.power(1) == Power::Off;
     },
     "one edge, or none and off"},
    {"starting", [](Rig& r) { r.board.caddy(0).rise_ms = 150; command(r, Op::On); r.step(); r.step(); }, nothing, 100, 4000,
     [](Rig& r) { return first(r).power && first(r).power_edges == 1 && r.power(1) == Power::On; }, "comes on"},
    {"switching off", reach_on, [](Rig& r) { command(r, Op::Off); }, 20, 4000,
     [](Rig& r) {
       return first(r).power ? untouched_on(r) : first(r).power_edges == 1 && r.power(1) == Power::Off;
     },
     "one edge, or none and on"},
    {"stopping", [](Rig& r) { reach_on(r); r.board.caddy(0).fall_ms = 300; r.board.clear_counts(); command(r, Op::Off); r.step(); r.step(); },
     nothing, 60, 4000,
     [](Rig& r) { return !first(r).power && first(r).power_edges == 1 && r.power(1) == Power::Off; }, "goes off"},
    {"asking for a shutdown", reach_on, [](Rig& r) { command(r, Op::Shutdown, 20); }, 20, 30000,
     [](Rig& r) {
       if (first(r).outputs & bpu::out::kPulses || first(r).shutdown_pulses > 1) return false;
       return first(r).power ? untouched_on(r) : first(r).power_edges == 1 && r.power(1) == Power::Off;
     },
     "asked once and off in the end, or not at all"},
    {"shutdown pulse", [](Rig& r) { reach_on(r); r.board.clear_counts(); command(r, Op::Shutdown, 20); r.run(100); }, nothing, 40, 30000,
     [](Rig& r) {
       return first(r).shutdown_pulses == 1 && !first(r).power && first(r).power_edges == 1 && r.power(1) == Power::Off;
     },
     "one pulse, then off"},
    {"shutting down", [](Rig& r) { reach_on(r); r.board.clear_counts(); r.board.caddy(0).halt_ms = 8000; command(r, Op::Shutdown, 20); r.run(2000); },
     nothing, 40, 30000,
     [](Rig& r) {
       return first(r).shutdown_pulses == 1 && !first(r).power && first(r).power_edges == 1 && r.power(1) == Power::Off;
     },
     "one pulse, then off"},
    {"halted in a shutdown", [](Rig& r) { reach_on(r); r.board.clear_counts(); r.board.caddy(0).halt_ms = 100; command(r, Op::Shutdown, 20); r.run(1000); },
     nothing, 40, 6000,
     [](Rig& r) { return !first(r).power && first(r).power_edges == 1 && r.power(1) == Power::Off; }, "off long before the wait is over"},
    {"beginning a cycle", reach_on, [](Rig& r) { command(r, Op::Cycle); }, 20, 12000,
     [](Rig& r) { return first(r).power && first(r).power_edges != 1 && first(r).power_edges <= 2 && r.power(1) == Power::On; },
     "off and on, or untouched"},
    {"cycle, power falling", [](Rig& r) { reach_on(r); r.board.caddy(0).fall_ms = 300; r.board.clear_counts(); command(r, Op::Cycle); r.step(); r.step(); },
     nothing, 60, 12000,
     [](Rig& r) { return first(r).power && first(r).power_edges == 2 && r.power(1) == Power::On; }, "comes back"},
    {"cycle, pausing", [](Rig& r) { reach_on(r); r.board.clear_counts(); command(r, Op::Cycle); r.run(2000); }, nothing, 40, 12000,
     [](Rig& r) { return first(r).power && first(r).power_edges == 2 && r.power(1) == Power::On; }, "comes back"},
    {"reset pulse", [](Rig& r) { reach_on(r); r.board.clear_counts(); command(r, Op::Reset); r.run(30); }, nothing, 40, 4000,
     [](Rig& r) { return untouched_on(r) && first(r).reset_pulses == 1 && !(first(r).outputs & bpu::out::kPulses); },
     "one pulse, power untouched"},
    {"back-powered", [](Rig& r) { r.board.caddy(0).backfed = true; r.run(3000); }, nothing, 40, 5000,
     [](Rig& r) { return kept_fault(r, bpu::Why::Backfed); }, "stays a fault"},
    {"overload, between tries", [](Rig& r) { reach_on(r); r.board.clear_counts(); r.board.caddy(0).shorted = true; r.run(500); }, nothing, 40, 30000,
     [](Rig& r) { return !first(r).power && first(r).power_edges == 7 && r.power(1) == Power::Fault; },
     "three tries in all"},
    {"overload, given up", [](Rig& r) { reach_on(r); r.board.caddy(0).shorted = true; r.run(20000); r.board.clear_counts(); }, nothing, 40, 20000,
     [](Rig& r) { return kept_fault(r, bpu::Why::Overload); }, "stays a fault"},
    {"no power", [](Rig& r) { r.board.caddy(0).pgood = 0; command(r, Op::On); r.run(1000); r.board.clear_counts(); }, nothing, 40, 5000,
     [](Rig& r) { return kept_fault(r, bpu::Why::NoPower); }, "stays a fault"},
    {"empty", [](Rig& r) { r.board.insert(0, 0); r.run(500); }, nothing, 40, 3000,
     [](Rig& r) { return !first(r).power && first(r).power_edges == 0 && r.power(1) == Power::Empty; }, "stays empty"},
    {"always on", [](Rig& r) { r.board.caddy(0).always_on = true; reach_on(r); r.board.clear_counts(); }, nothing, 40, 3000,
     untouched_on, "stays on"},
};

void base(Rig& rig) {
  bpu::Config config = test::no_network();
  config.policy = bpu::Policy::On;  // must not matter: this is no loss of power
  config.hold_s = 0;
  rig.configure(config);
  // The two other slots bear witness: on, and off.
  rig.board.switch_on_before_start(1);
  if (rig.board.units() == 4) rig.board.switch_on_before_start(3);
  rig.board.clear_counts();
  rig.start();
  rig.run(1000);
}

bool witnesses(Rig& rig) {
  const simhw::Caddy &on = rig.board.caddy(1), &off = rig.board.caddy(2), &last = rig.board.caddy(3);
  return on.power && on.power_edges == 0 && !off.power && off.power_edges == 0 &&
         (rig.board.units() < 4 || (last.power && last.power_edges == 0));
}

// Runs the window, dying on the way; true when it died.
bool run_cut(Rig& rig, uint32_t window_ms, uint32_t cut) {
  rig.board.cut_after(cut);
  for (uint32_t done = 0; done < window_ms && rig.board.alive_mcu(); done += 10) rig.step();
  return !rig.board.alive_mcu();
}

void cut_everywhere(const Case& one) {
  uint32_t cuts = 0;
  for (uint32_t cut = 0;; cut += port_stride()) {
    Rig rig;
    base(rig);
    one.reach(rig);
    if (one.reach == reach_on) rig.board.clear_counts();
    one.act(rig);
    if (!run_cut(rig, one.window_ms, cut)) break;
    cuts++;
    rig.reset();
    test::context(one.name, cut);
    CHECK(!(first(rig).outputs & bpu::out::kPulses));  // cleared on boot, not resumed
    rig.run(one.settle_ms, 20);
    CHECK(witnesses(rig));
    if (!one.good(rig)) {
      test::print("edges ");
      test::print(first(rig).power_edges);
      test::print(" pulses ");
      test::print(first(rig).shutdown_pulses);
      test::print(" state ");
      test::print(bpu::name(rig.power(1)));
      test::print("\n");
      test::fail(__FILE__, __LINE__, one.expectation);
      break;
    }
  }
  CHECK(cuts > 100 / port_stride());
}

// The restart itself is cut, with and without a valid image in RTC memory.
void cut_the_boot(uint8_t units, bool remembered) {
  for (uint32_t cut = 0;; cut += port_stride()) {
    Rig rig(units);
    base(rig);
    reach_on(rig);
    rig.board.clear_counts();
    rig.board.kill();
    if (!remembered) {
      rig.board.revive();
      for (uint8_t word = 0; word < 12; word++) rig.board.write(word, 0);
    }
    test::context(remembered ? "boot" : "boot without memory", cut);
    rig.esp.reason = "watchdog";
    rig.board.revive();
    rig.board.cut_after(cut);
    rig.start_cut();
    const bool died = !rig.board.alive_mcu();
    rig.reset();
    rig.run(3000, 20);
    CHECK(untouched_on(rig) && witnesses(rig));
    if (!died) break;
  }
}

// Cold start with a policy: a restart while slots wait for their turn must not forget them.
void cut_the_hold() {
  for (uint32_t cut = 0;; cut += 5 * port_stride()) {
    Rig rig;
    bpu::Config config = test::no_network();
    config.policy = bpu::Policy::On;
    config.hold_s = 3;
    config.stagger_ms = 200;
    rig.configure(config);
    rig.start();
    rig.run(1000);
    if (!run_cut(rig, 200, cut)) break;
    rig.reset();
    test::context("hold", cut);
    rig.run(6000, 20);
    for (uint8_t slot = 1; slot <= 3; slot++)
      CHECK(rig.power(slot) == Power::On && rig.board.caddy(static_cast<uint8_t>(slot - 1)).power_edges == 1);
  }
}

}  // namespace

void test_reset_cut() {
  for (const Case& one : kCases) cut_everywhere(one);
  for (uint8_t units = 3; units <= 4; units++) {
    cut_the_boot(units, true);
    cut_the_boot(units, false);
  }
  cut_the_hold();
}
