// Power of one slot: a state machine over what is read back from it.
#pragma once

#include "pinmap_d1mini.h"
#include "rtc_image.h"

namespace bpu {

enum class Power : uint8_t { Empty, Off, Starting, On, Stopping, Fault };
enum class Why : uint8_t {
  Boot, Command, Policy, Hold, Button, Inserted, Removed, Halted, Forced, Overload, Backfed, NoPower, StuckOn,
};
enum class Op : uint8_t { On, Off, Shutdown, Cycle, Reset, Identify, Led };
enum class Code : uint8_t { Done, Accepted, Dup, Busy, Empty, Bad, Fault, Stale, Expired, AlwaysOn };
enum class LedMode : uint8_t { Off, On, Blink };
enum class Event : uint8_t { Inserted, Removed, Button, Overload, Halted };

// The words of the contract for each; "" cannot come out.
const char* name(Power value);
const char* name(Why value);
const char* name(Code value);
const char* name(LedMode value);
const char* name(Event value);

// Milliseconds. The clock of a slot counts at most kStep for each look at the inputs, so that a loop that was
// held up (a TLS handshake) does not make deadlines pass unseen.
namespace times {
constexpr uint32_t kStep = 50;
constexpr uint32_t kDebounce = 50;
constexpr uint32_t kLongPress = 2000;
constexpr uint32_t kShutdownPulse = 800;
constexpr uint32_t kResetPulse = 200;
constexpr uint32_t kAliveSample = 500;
constexpr uint8_t kDeadSamples = 5;
constexpr uint32_t kOnConfirm = 200;
constexpr uint32_t kOffConfirm = 2000;
constexpr uint32_t kCycleOff = 5000;
constexpr uint32_t kBackfed = 2000;
constexpr uint32_t kRetry = 2000;
constexpr uint8_t kRetries = 3;
constexpr uint32_t kRetryForget = 30000;
constexpr uint32_t kTypeLost = 1000;  // no type but still power: a caddy is gone for sure only after this
constexpr uint32_t kBlink = 250;
constexpr uint32_t kBlinkFast = 100;
}  // namespace times

constexpr uint16_t kDefaultWaitS = 90;
constexpr uint16_t kIdentifyS = 30;

// What of a slot is published; two equal views need no second message.
struct SlotView {
  Power power = Power::Empty;
  bool want = false;
  uint8_t type = 0;
  bool always_on = false;
  bool alive = false;
  bool pgood = false;
  Why why = Why::Boot;
  LedMode led = LedMode::Off;

  bool operator==(const SlotView& other) const {
    return power == other.power && want == other.want && type == other.type && always_on == other.always_on &&
           alive == other.alive && pgood == other.pgood && why == other.why && led == other.led;
  }
};

class Slot {
 public:
  // At start. inputs is the byte of the 165; remembered is what the RTC memory held, or null after a power loss.
  void start(const SlotImage* remembered, uint8_t inputs);

  // After a cold start: this slot is to be switched on later, by release.
  void hold();
  bool held() const { return hold_; }
  void release();

  // Looks at the inputs; elapsed_ms since the last look.
  void tick(uint32_t elapsed_ms, uint8_t inputs);
  // Instead, when there is nothing to be seen: pulses end, lights blink, nothing is decided.
  void tick_blind(uint32_t elapsed_ms);

  // Judges and begins a command that has passed the fences. wait_s 0 = the default.
  Code command(Op op, uint16_t wait_s, LedMode led);

  // What the 594 shall show, and what to remember over a reset.
  SlotImage image() const;
  SlotView view() const;
  // Takes out the oldest event; false when there is none.
  bool next_event(Event& event);

  // True in a pulse or while a deadline of a fraction of a second runs: no time for anything that blocks.
  bool pressing() const;
  bool pulsing() const { return shutdown_left_ > 0 || reset_left_ > 0; }

  // For tests: bit `to` of visited[from] is set by every transition.
  void watch(uint8_t visited[6]) { visited_ = visited; }

 private:
  void go(Power to, Why why);
  void begin(Why why);
  void cut(Why why);
  void ask_shutdown(uint16_t wait_s, Why why);
  void clear_fault(Why why);
  void raise(Event event) { events_ = static_cast<uint8_t>(events_ | 1 << static_cast<uint8_t>(event)); }
  bool powered() const { return power_ == Power::Starting || power_ == Power::On || graceful(); }
  bool graceful() const { return power_ == Power::Stopping && graceful_; }
  bool cycling() const { return power_ == Power::Off && cycle_; }

  void pass(uint32_t ms);
  void sample(uint8_t inputs);
  void watch_type(uint32_t ms);
  void watch_alive(uint32_t ms);
  void watch_button(uint32_t ms);
  void short_press();
  void advance(uint32_t ms);
  void advance_off(uint32_t ms);
  void advance_starting();
  void advance_on();
  void advance_stopping();
  void advance_fault();

  Power power_ = Power::Empty;
  Why why_ = Why::Boot;
  bool want_ = false;
  bool cycle_ = false;
  bool graceful_ = false;
  bool hold_ = false;
  bool seen_alive_ = false;
  bool alive_ = false;
  uint8_t dead_ = 0;
  uint8_t retries_ = 0;
  uint8_t type_ = 0;
  uint8_t raw_ = 0, steady_ = 0;
  uint8_t events_ = 0;
  bool button_armed_ = false;
  bool button_long_ = false;
  uint16_t wait_s_ = kDefaultWaitS;
  LedMode led_ = LedMode::Off;
  uint32_t in_state_ = 0;     // ms, saturating
  uint32_t fed_ = 0;          // ms of PGOOD while off
  uint32_t type_ms_ = 0;      // ms the type has differed
  uint32_t alive_ms_ = 0;
  uint32_t button_ms_ = 0;
  uint32_t shutdown_left_ = 0, reset_left_ = 0, identify_left_ = 0;
  uint32_t blink_ = 0;
  uint8_t* visited_ = nullptr;
};

}  // namespace bpu
