#include "scenario.h"

#include "rig.h"

namespace test {

namespace {

using bpu::Text;
using bpu::TextWriter;

constexpr char kRoot[] = "caddyshack/v1/";

class Player {
 public:
  Player(const char* name, const char* text) : name_(name), at_(text) {}

  void play() {
    while (next_line()) directive();
  }

 private:
  bool next_line() {
    while (*at_) {
      const char* end = strchr(at_, '\n');
      if (!end) end = at_ + strlen(at_);
      bpu::copy_text(line_, sizeof line_, Text{at_, static_cast<size_t>(end - at_)});
      at_ = *end ? end + 1 : end;
      number_++;
      word_at_ = line_;
      if (line_[0] != 0 && line_[0] != '#') {
        char where[100];
        TextWriter(where, sizeof where).text(name_).text(" line");
        context(where, number_);
        return true;
      }
    }
    return false;
  }

  // The next word of the line, NUL-ended; "" at the end.
  const char* word() {
    char* start = word_at_;
    while (*word_at_ && *word_at_ != ' ') word_at_++;
    if (*word_at_) *word_at_++ = 0;
    return start;
  }

  static bool is(const char* a, const char* b) { return strcmp(a, b) == 0; }

  static uint32_t number(const char* text) {
    uint32_t value = 0;
    CHECK(bpu::parse_decimal(Text{text, strlen(text)}, 0xffffffffu, value));
    return value;
  }

  // Splits key=value in place.
  static const char* split(char* pair) {
    char* sign = strchr(pair, '=');
    if (!sign) return "";
    *sign = 0;
    return sign + 1;
  }

  void directive() {
    const char* name = word();
    if (is(name, "given")) given();
    else if (is(name, "start")) start();
    else if (is(name, "controller")) controller();
    else if (is(name, "send")) send();
    else if (is(name, "expect")) expect();
    else if (is(name, "retained")) retained();
    else if (is(name, "quiet")) quiet();
    else if (is(name, "order")) order();
    else if (is(name, "mark")) mark();
    else if (is(name, "tick")) rig_.run(number(word()) * 1000, 50);
    else if (is(name, "hardware")) hardware();
    else if (is(name, "mcu_reset")) mcu_reset();
    else if (is(name, "powerloss")) power_loss();
    else if (is(name, "disconnect")) disconnect();
    else if (is(name, "reconnect")) reconnect();
    else if (is(name, "assert")) assert_slot();
    else CHECK(!"a directive that this player does not know");
  }

  void given() {
    int slot = -1;
    for (char* pair = const_cast<char*>(word()); *pair; pair = const_cast<char*>(word())) {
      const char* value = split(pair);
      if (is(pair, "slot")) slot = static_cast<int>(number(value)) - 1;
      else if (slot >= 0) given_slot(rig_.board.caddy(static_cast<uint8_t>(slot)), slot, pair, value);
      else given_unit(pair, value);
    }
    rig_.configure(config_);
  }

  void given_slot(simhw::Caddy& caddy, int slot, const char* key, const char* value) {
    if (is(key, "type")) caddy.type = static_cast<uint8_t>(number(value));
    else if (is(key, "power")) on_[slot] = is(value, "on");
    else if (is(key, "always_on")) caddy.always_on = number(value) != 0;
    else if (is(key, "honours_shutdown")) caddy.honours_shutdown = number(value) != 0;
    else if (is(key, "halt_s")) caddy.halt_ms = number(value) * 1000;
    else if (is(key, "boot_s")) caddy.boot_ms = number(value) * 1000;
    else CHECK(!"unknown key of a slot");
  }

  void given_unit(const char* key, const char* value) {
    if (is(key, "id")) bpu::copy_text(config_.id, sizeof config_.id, value);
    else if (is(key, "slots")) rig_.board.set_units(static_cast<uint8_t>(number(value)));
    else if (is(key, "index")) config_.index = static_cast<uint8_t>(number(value));
    else if (is(key, "boot")) rig_.set_next_boot(number(value));
    else if (is(key, "hold_s")) config_.hold_s = static_cast<uint16_t>(number(value));
    else if (is(key, "stagger_ms")) config_.stagger_ms = static_cast<uint16_t>(number(value));
    else if (is(key, "policy"))
      config_.policy = is(value, "on") ? bpu::Policy::On : is(value, "last") ? bpu::Policy::Last : bpu::Policy::Off;
    else CHECK(!"unknown key of a unit");
  }

  void start() {
    for (uint8_t i = 0; i < bpu::kMaxSlots; i++)
      if (on_[i]) rig_.board.switch_on_before_start(i);
    rig_.board.clear_counts();
    rig_.start();
    wait_online(rig_.broker.count());
  }

  void wait_online(uint32_t from) {
    char topic[96];
    TextWriter(topic, sizeof topic).text(kRoot).text("bpu/").text(config_.id).text("/status");
    for (uint32_t done = 0; done < 90000; done += 10) {
      rig_.step();
      for (; from < rig_.broker.count(); from++)
        if (is(rig_.broker.logged(from).topic, topic) && is(rig_.broker.logged(from).payload, "online")) return;
    }
    CHECK(!"the unit came online");
  }

  void controller() {
    const char* state = word();
    rig_.broker.publish("caddyshack/v1/controller/status", state, strlen(state), true);
  }

  // Replaces {id} {boot±N} {up±N} {pad:N} and \xHH.
  size_t expand(const char* from, char* out, size_t capacity) {
    size_t size = 0;
    while (*from && size + 32 < capacity) {
      if (from[0] == '\\' && from[1] == 'x') {
        CHECK(bpu::parse_hex(Text{from + 2, 2}, reinterpret_cast<uint8_t*>(out + size), 1));
        size++;
        from += 4;
        continue;
      }
      const char* end = *from == '{' ? strchr(from, '}') : nullptr;
      const bool known = end && (strncmp(from, "{id}", 4) == 0 || strncmp(from, "{boot", 5) == 0 ||
                                 strncmp(from, "{up", 3) == 0 || strncmp(from, "{pad:", 5) == 0);
      if (!known) {
        out[size++] = *from++;
        continue;
      }
      if (from[1] == 'i') {
        size += TextWriter(out + size, capacity - size).text(config_.id).size();
      } else if (from[1] == 'p') {
        uint32_t n = 0;
        bpu::parse_decimal(Text{from + 5, static_cast<size_t>(end - from - 5)}, 300000, n);
        for (; n > 0 && size + 32 < capacity; n--) out[size++] = 'x';
      } else {
        const bool boot = from[1] == 'b';
        uint32_t value = boot ? rig_.app().boot() : rig_.app().uptime_s();
        const char* sign = from + (boot ? 5 : 3);
        uint32_t n = 0;
        if (*sign != '}') bpu::parse_decimal(Text{sign + 1, static_cast<size_t>(end - sign - 1)}, 100000, n);
        value = *sign == '-' ? value - n : value + n;
        size += TextWriter(out + size, capacity - size).number(value).size();
      }
      from = end + 1;
    }
    out[size] = 0;
    return size;
  }

  void topic(char (&out)[96]) {
    char name[80];
    expand(word(), name, sizeof name);
    TextWriter(out, sizeof out).text(kRoot).text(name);
  }

  void send() {
    static char payload[1 << 18];
    char name[96];
    topic(name);
    bool retain = false;
    if (strncmp(word_at_, "retain=1 ", 9) == 0) {
      retain = true;
      word_at_ += 9;
    }
    const size_t size = expand(word_at_, payload, sizeof payload);
    rig_.broker.publish(name, payload, size, retain);
    rig_.step(0);
  }

  // True when the payload fits all key=value pairs of pairs.
  bool fits(const Message& message, const char* pairs) {
    char copy[400], want[128];
    bpu::copy_text(copy, sizeof copy, pairs);
    bpu::JsonObject json;
    const bool is_json = json.parse(message.payload, message.size);
    for (char* pair = copy; *pair;) {
      char* next = strchr(pair, ' ');
      if (next) *next++ = 0;
      expand(split(pair), want, sizeof want);
      if (is(pair, "text")) {
        if (!is(message.payload, want)) return false;
      } else if (!is_json || !field_fits(json, pair, want)) {
        return false;
      }
      pair = next ? next : pair + strlen(pair);
      if (!next) break;
    }
    return true;
  }

  static bool field_fits(const bpu::JsonObject& json, const char* key, const char* want) {
    if (is(want, "*")) return json.has(key);
    char text[64] = "";
    uint32_t value = 0;
    bool truth = false;
    if (json.number(key, value) == bpu::Field::Ok) TextWriter(text, sizeof text).number(value);
    else if (json.boolean(key, truth) == bpu::Field::Ok) bpu::copy_text(text, sizeof text, truth ? "true" : "false");
    else if (json.string(key, text, sizeof text) != bpu::Field::Ok) return false;
    const size_t size = strlen(text);
    for (const char* one = want;;) {
      const char* bar = strchr(one, '|');
      const size_t length = bar ? static_cast<size_t>(bar - one) : strlen(one);
      if (length == size && memcmp(one, text, size) == 0) return true;
      if (!bar) return false;
      one = bar + 1;
    }
  }

  // Each topic is a queue over the log: `taken` marks what was dropped or matched.
  bool take(const char* name, const char* pairs) {
    for (uint32_t i = 0; i < rig_.broker.count(); i++) {
      Message& message = rig_.broker.logged(i);
      if (taken_[i] || !is(message.topic, name)) continue;
      taken_[i] = true;
      if (fits(message, pairs)) return true;
    }
    return false;
  }

  bool waiting(const char* name) {
    for (uint32_t i = 0; i < rig_.broker.count(); i++)
      if (!taken_[i] && is(rig_.broker.logged(i).topic, name)) return true;
    return false;
  }

  void expect() {
    char name[96];
    topic(name);
    uint32_t within = 5;
    if (strncmp(word_at_, "within=", 7) == 0) {
      word_at_ += 7;
      within = number(word());
    }
    for (uint32_t done = 0; done <= within * 1000; done += 10) {
      if (take(name, word_at_)) return;
      rig_.step();
    }
    fail(name_, static_cast<int>(number_), word_at_);
  }

  void retained() {
    char name[96];
    topic(name);
    for (uint32_t done = 0; done <= 5000; done += 10) {
      const Message* message = rig_.broker.retained(name);
      if (is(word_at_, "none") ? !message : message && fits(*message, word_at_)) return;
      rig_.step();
    }
    fail(name_, static_cast<int>(number_), word_at_);
  }

  void quiet() {
    const uint32_t seconds = number(word());
    char name[96];
    topic(name);
    for (uint32_t done = 0; done <= seconds * 1000; done += 50) {
      if (waiting(name)) {
        for (uint32_t i = 0; i < rig_.broker.count(); i++) {
          if (taken_[i] || !is(rig_.broker.logged(i).topic, name)) continue;
          print(rig_.broker.logged(i).payload);
          print("\n");
        }
        return fail(name_, static_cast<int>(number_), "a message");
      }
      if (done < seconds * 1000) rig_.step(50);
    }
  }

  void order() {
    for (uint32_t i = 0; *word_at_;) {
      char name[96];
      topic(name);
      while (i < rig_.broker.count() && strstr(rig_.broker.logged(i).topic, "/telemetry")) i++;
      CHECK(i < rig_.broker.count());
      if (i < rig_.broker.count()) CHECK_TEXT(rig_.broker.logged(i).topic, name);
      i++;
    }
  }

  void mark() {
    rig_.broker.clear_log();
    memset(taken_, 0, sizeof taken_);
    rig_.board.clear_counts();
  }

  static simhw::Stuck stuck(const char* value) {
    return is(value, "auto") ? simhw::kAuto : static_cast<simhw::Stuck>(number(value));
  }

  void hardware() {
    char* pair = const_cast<char*>(word());
    const uint8_t slot = static_cast<uint8_t>(number(split(pair)) - 1);
    pair = const_cast<char*>(word());
    const char* value = split(pair);
    if (is(pair, "pgood")) rig_.board.caddy(slot).pgood = stuck(value);
    else if (is(pair, "alive")) rig_.board.caddy(slot).alive = stuck(value);
    else if (is(pair, "type")) rig_.board.insert(slot, static_cast<uint8_t>(number(value)));
    else if (is(pair, "button")) {
      const uint32_t ms = is(value, "long") ? 2500 : 200;
      rig_.board.press(slot, ms);
      rig_.run(ms + 100, 50);
    } else CHECK(!"unknown hardware");
  }

  void mcu_reset() {
    const uint32_t from = rig_.broker.count();
    rig_.reset();
    wait_online(from);
  }

  void power_loss() {
    const uint32_t from = rig_.broker.count();
    rig_.power_loss();
    wait_online(from);
  }

  void disconnect() {
    rig_.broker.refuse(true);
    rig_.broker.drop_client();
    rig_.step();
  }

  void reconnect() {
    const uint32_t from = rig_.broker.count();
    rig_.broker.refuse(false);
    wait_online(from);
  }

  void assert_slot() {
    char* pair = const_cast<char*>(word());
    simhw::Caddy& caddy = rig_.board.caddy(static_cast<uint8_t>(number(split(pair)) - 1));
    for (pair = const_cast<char*>(word()); *pair; pair = const_cast<char*>(word())) {
      const uint32_t want = number(split(pair));
      uint32_t got = 0xffff;
      if (is(pair, "pwr")) got = caddy.power;
      else if (is(pair, "pwr_edges")) got = caddy.power_edges;
      else if (is(pair, "shdn_pulses")) got = caddy.shutdown_pulses;
      else if (is(pair, "reset_pulses")) got = caddy.reset_pulses;
      if (got == want) continue;
      print("got ");
      print(got);
      print("\n");
      fail(name_, static_cast<int>(number_), pair);
    }
  }

  const char* name_;
  const char* at_;
  uint32_t number_ = 0;
  char line_[1024];
  char* word_at_ = line_;
  Rig rig_;
  bpu::Config config_ = default_config();
  bool on_[bpu::kMaxSlots] = {};
  bool taken_[2048] = {};
};

}  // namespace

void play_scenario(const char* name, const char* text) { Player(name, text).play(); }

}  // namespace test
