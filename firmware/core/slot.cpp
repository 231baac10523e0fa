#include "slot.h"

namespace bpu {

namespace {

// SlotImage::flags.
constexpr uint8_t kWant = 1 << 0, kCycle = 1 << 1, kGraceful = 1 << 2, kSeenAlive = 1 << 3;
constexpr uint8_t kFaultShift = 4, kFaultMask = 3 << 4;  // 0 none, 1 overload, 2 no_power, 3 power from elsewhere
constexpr uint8_t kRetryShift = 6;

constexpr uint8_t fault_bits(Why why) {
  return why == Why::Overload ? 1 : why == Why::NoPower ? 2 : 3;
}

constexpr Why kFaultWhy[4] = {Why::Boot, Why::Overload, Why::NoPower, Why::Backfed};

void count(uint32_t& timer, uint32_t ms) {
  timer = timer > UINT32_MAX - ms ? UINT32_MAX : timer + ms;
}

void run_down(uint32_t& timer, uint32_t ms) { timer = timer > ms ? timer - ms : 0; }

}  // namespace

void Slot::go(Power to, Why why) {
  if (visited_) visited_[static_cast<uint8_t>(power_)] |= static_cast<uint8_t>(1 << static_cast<uint8_t>(to));
  power_ = to;
  why_ = why;
  in_state_ = 0;
  fed_ = 0;
  if (!powered()) {
    shutdown_left_ = reset_left_ = 0;
    seen_alive_ = false;
  }
}

void Slot::start(const SlotImage* remembered, uint8_t inputs) {
  raw_ = steady_ = inputs;
  type_ = inputs & in::kTypeMask;
  if (type_ == in::kTypeMask) type_ = 0;
  const bool pgood = inputs & in::kPowerGood;
  if (!remembered) {
    // PGOOD is the truth: what has power keeps it.
    if (type_ != 0) power_ = pgood ? Power::On : Power::Off;
    want_ = power_ == Power::On;
    return;
  }
  const uint8_t flags = remembered->flags;
  want_ = flags & kWant;
  cycle_ = flags & kCycle;
  seen_alive_ = flags & kSeenAlive;
  retries_ = flags >> kRetryShift;
  wait_s_ = remembered->wait_s;
  const uint8_t fault = (flags & kFaultMask) >> kFaultShift;
  if (remembered->outputs & out::kPowerEnable) {
    // The type is not believed yet: tick takes a caddy for removed only after a while.
    graceful_ = flags & kGraceful;
    power_ = graceful_ ? Power::Stopping : pgood ? Power::On : Power::Starting;
  } else if (type_ == 0) {
    want_ = cycle_ = false;
  } else if (fault != 0) {
    power_ = Power::Fault;
    why_ = kFaultWhy[fault];
  } else if (pgood) {
    power_ = Power::Stopping;
  } else {
    power_ = Power::Off;
    if (want_ && !cycle_) hold();
  }
}

void Slot::hold() {
  if (power_ != Power::Off) return;
  hold_ = want_ = true;
  why_ = Why::Hold;
}

void Slot::release() {
  if (hold_ && power_ == Power::Off) begin(Why::Policy);
}

void Slot::begin(Why why) {
  hold_ = cycle_ = false;
  want_ = true;
  go(Power::Starting, why);
}

// Takes the power away; Off follows when PGOOD has fallen.
void Slot::cut(Why why) {
  graceful_ = hold_ = false;
  want_ = cycle_;
  retries_ = 0;
  go(Power::Stopping, why);
}

void Slot::ask_shutdown(uint16_t wait_s, Why why) {
  graceful_ = true;
  want_ = cycle_ = false;
  wait_s_ = wait_s == 0 ? kDefaultWaitS : wait_s;
  dead_ = 0;
  // One that has come up and halts between two samples was alive all the same.
  if (!(steady_ & in::kAliveN)) seen_alive_ = true;
  go(Power::Stopping, why);
  shutdown_left_ = times::kShutdownPulse;
}

void Slot::clear_fault(Why why) {
  retries_ = 0;
  want_ = cycle_;
  if (steady_ & in::kPowerGood) {
    cut(why);
  } else {
    graceful_ = false;
    go(Power::Off, why);
  }
}

Code Slot::command(Op op, uint16_t wait_s, LedMode led) {
  const bool always_on = !(steady_ & in::kAlwaysOnN);
  if (power_ == Power::Empty) return Code::Empty;
  if (always_on && (op == Op::Off || op == Op::Shutdown || op == Op::Cycle)) return Code::AlwaysOn;
  if (power_ == Power::Fault && (op == Op::On || op == Op::Shutdown || op == Op::Reset)) return Code::Fault;
  const bool moving = power_ == Power::Starting || power_ == Power::Stopping || cycling();
  if (moving && op != Op::Off && op != Op::Identify && op != Op::Led) return Code::Busy;
  switch (op) {
    case Op::On:
      if (power_ == Power::On) return Code::Done;
      begin(Why::Command);
      return Code::Accepted;
    case Op::Off:
    case Op::Shutdown:
      if (power_ == Power::Off) {
        if (want_) why_ = Why::Command;
        hold_ = cycle_ = want_ = false;
        return Code::Done;
      }
      cycle_ = false;
      if (power_ == Power::Fault) {
        clear_fault(Why::Command);
        return power_ == Power::Off ? Code::Done : Code::Accepted;
      }
      if (op == Op::Shutdown)
        ask_shutdown(wait_s, Why::Command);
      else
        cut(Why::Command);
      return Code::Accepted;
    case Op::Cycle:
      if (power_ == Power::Off) {
        begin(Why::Command);
      } else {
        cycle_ = true;
        if (power_ == Power::Fault)
          clear_fault(Why::Command);
        else
          cut(Why::Command);
      }
      return Code::Accepted;
    case Op::Reset:
      if (power_ != Power::On) return Code::Bad;
      reset_left_ = times::kResetPulse;
      return Code::Done;
    case Op::Identify:
      identify_left_ = (wait_s == 0 ? kIdentifyS : wait_s) * 1000u;
      return Code::Done;
    case Op::Led:
      led_ = led;
      identify_left_ = 0;
      return Code::Done;
  }
  return Code::Bad;
}

// An input counts when two looks agree.
void Slot::sample(uint8_t inputs) {
  const uint8_t same = static_cast<uint8_t>(~(raw_ ^ inputs));
  steady_ = static_cast<uint8_t>((steady_ & ~same) | (inputs & same));
  raw_ = inputs;
}

// What goes on whatever the inputs are.
void Slot::pass(uint32_t ms) {
  run_down(shutdown_left_, ms);
  run_down(reset_left_, ms);
  run_down(identify_left_, ms);
  blink_ = (blink_ + ms) % (2 * times::kBlink * 2 * times::kBlinkFast);
}

void Slot::tick_blind(uint32_t elapsed_ms) { pass(elapsed_ms < times::kStep ? elapsed_ms : times::kStep); }

void Slot::tick(uint32_t elapsed_ms, uint8_t inputs) {
  const uint32_t ms = elapsed_ms < times::kStep ? elapsed_ms : times::kStep;
  sample(inputs);
  pass(ms);
  count(in_state_, ms);
  watch_type(ms);
  if (power_ == Power::Empty) return;
  watch_alive(ms);
  watch_button(ms);
  advance(ms);
}

void Slot::watch_type(uint32_t ms) {
  uint8_t type = steady_ & in::kTypeMask;
  if (type == in::kTypeMask) type = 0;  // the slot's shift unit is not there
  if (type == type_ && (type == 0) == (power_ == Power::Empty)) {
    type_ms_ = 0;
    return;
  }
  count(type_ms_, ms);
  // A caddy that still has power is not gone because its type cannot be read for a moment.
  const bool doubt = type == 0 && (steady_ & in::kPowerGood);
  if (type_ms_ < (doubt ? times::kTypeLost : times::kDebounce)) return;
  type_ms_ = 0;
  type_ = type;
  if (type == 0) {
    hold_ = want_ = cycle_ = graceful_ = alive_ = button_long_ = false;
    button_ms_ = 0;
    retries_ = 0;
    identify_left_ = 0;
    led_ = LedMode::Off;
    go(Power::Empty, Why::Removed);
    raise(Event::Removed);
  } else if (power_ == Power::Empty) {
    go(Power::Off, Why::Inserted);
    button_armed_ = false;
    raise(Event::Inserted);
    // What carries the network must not wait for a command that comes over it.
    if (!(steady_ & in::kAlwaysOnN)) begin(Why::Inserted);
  }
}

void Slot::watch_alive(uint32_t ms) {
  if (!(steady_ & in::kPowerGood) || !powered()) {
    alive_ = false;
    dead_ = 0;
    alive_ms_ = 0;
    return;
  }
  count(alive_ms_, ms);
  if (alive_ms_ < times::kAliveSample) return;
  alive_ms_ = 0;
  if (!(steady_ & in::kAliveN)) {
    dead_ = 0;
    alive_ = seen_alive_ = true;
    return;
  }
  if (dead_ < times::kDeadSamples) dead_++;
  if (dead_ < times::kDeadSamples || !alive_) return;
  alive_ = false;
  raise(Event::Halted);
}

void Slot::watch_button(uint32_t ms) {
  if (steady_ & in::kButtonN) {
    const bool short_one = button_armed_ && !button_long_ && button_ms_ >= times::kDebounce;
    button_armed_ = true;
    button_long_ = false;
    button_ms_ = 0;
    if (short_one) short_press();
    return;
  }
  if (!button_armed_ || button_long_) return;  // held since before the start, or served
  count(button_ms_, ms);
  if (button_ms_ < times::kLongPress) return;
  button_long_ = true;
  raise(Event::Button);
  if (!(steady_ & in::kAlwaysOnN)) return;
  cycle_ = false;
  if (power_ == Power::Fault) {
    clear_fault(Why::Button);
  } else if (power_ == Power::Off) {
    if (want_) why_ = Why::Button;
    hold_ = want_ = false;
  } else if (powered()) {
    cut(Why::Button);
  }
}

void Slot::short_press() {
  raise(Event::Button);
  if (power_ == Power::Off && !cycle_) {
    begin(Why::Button);
  } else if (power_ == Power::On && (steady_ & in::kAlwaysOnN)) {
    ask_shutdown(0, Why::Button);
  }
}

void Slot::advance(uint32_t ms) {
  switch (power_) {
    case Power::Empty: break;
    case Power::Off: advance_off(ms); break;
    case Power::Starting: advance_starting(); break;
    case Power::On: advance_on(); break;
    case Power::Stopping: advance_stopping(); break;
    case Power::Fault: advance_fault(); break;
  }
}

void Slot::advance_off(uint32_t ms) {
  if (steady_ & in::kPowerGood) {
    count(fed_, ms);
    if (fed_ < times::kBackfed) return;
    want_ = cycle_ = hold_ = false;
    go(Power::Fault, Why::Backfed);
    return;
  }
  fed_ = 0;
  if (cycle_ && in_state_ >= times::kCycleOff) begin(why_);
}

void Slot::advance_starting() {
  if (steady_ & in::kPowerGood) {
    go(Power::On, why_);
  } else if (in_state_ >= times::kOnConfirm) {
    go(Power::Fault, retries_ > 0 ? Why::Overload : Why::NoPower);
  }
}

void Slot::advance_on() {
  if (in_state_ >= times::kRetryForget) retries_ = 0;
  if (steady_ & in::kPowerGood) return;
  if ((raw_ & in::kTypeMask) == 0) return;  // being pulled: watch_type decides
  raise(Event::Overload);
  go(Power::Fault, Why::Overload);
}

void Slot::advance_stopping() {
  const bool pgood = steady_ & in::kPowerGood;
  if (graceful_) {
    if (!pgood || (seen_alive_ && dead_ >= times::kDeadSamples)) {
      cut(Why::Halted);
    } else if (in_state_ >= wait_s_ * 1000u) {
      cut(Why::Forced);
    }
    return;
  }
  if (!pgood) {
    go(Power::Off, why_);
  } else if (in_state_ >= times::kOffConfirm) {
    want_ = cycle_ = false;
    go(Power::Fault, Why::StuckOn);
  }
}

void Slot::advance_fault() {
  if (why_ != Why::Overload || retries_ >= times::kRetries || in_state_ < times::kRetry) return;
  retries_++;
  begin(Why::Overload);
}

bool Slot::next_event(Event& event) {
  for (uint8_t bit = 0; bit < 5; bit++) {
    if (!(events_ & 1 << bit)) continue;
    events_ = static_cast<uint8_t>(events_ & ~(1 << bit));
    event = static_cast<Event>(bit);
    return true;
  }
  return false;
}

bool Slot::pressing() const {
  // A button that stays down is nothing to wait for.
  return power_ == Power::Starting || pulsing() || (button_ms_ > 0 && !button_long_) || raw_ != steady_ || type_ms_ > 0;
}

SlotImage Slot::image() const {
  SlotImage image;
  const bool slow = blink_ / times::kBlink % 2, fast = blink_ / times::kBlinkFast % 2;
  const LedMode led = identify_left_ > 0 ? LedMode::Blink : led_;
  uint8_t outputs = 0;
  if (powered()) outputs |= out::kPowerEnable;
  if (power_ == Power::On || graceful()) outputs |= out::kUartEnable;
  if (shutdown_left_ > 0) outputs |= out::kShutdownRequest;
  if (reset_left_ > 0) outputs |= out::kResetRequest;
  if (led == LedMode::On || (led == LedMode::Blink && fast)) outputs |= out::kLed;
  const bool foreign = why_ == Why::Backfed || why_ == Why::StuckOn;
  if (power_ == Power::Fault && (!foreign || slow)) outputs |= out::kLedFault;
  image.outputs = outputs;
  uint8_t flags = static_cast<uint8_t>(retries_ << kRetryShift);
  if (want_) flags |= kWant;
  if (cycle_) flags |= kCycle;
  if (graceful()) flags |= kGraceful;
  if (seen_alive_) flags |= kSeenAlive;
  if (power_ == Power::Fault) flags = static_cast<uint8_t>(flags | fault_bits(why_) << kFaultShift);
  image.flags = flags;
  image.wait_s = wait_s_;
  return image;
}

SlotView Slot::view() const {
  SlotView view;
  view.power = power_;
  view.want = want_;
  view.type = type_;
  view.always_on = power_ != Power::Empty && !(steady_ & in::kAlwaysOnN);
  view.alive = alive_;
  view.pgood = steady_ & in::kPowerGood;
  view.why = why_;
  view.led = identify_left_ > 0 ? LedMode::Blink : led_;
  return view;
}

}  // namespace bpu
