// bpu-sim: a backplane unit on Linux.
#include <poll.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <sstream>
#include <stdexcept>

#include "control.h"
#include "unit.h"

namespace {

volatile sig_atomic_t stopping = 0;

const char kUsage[] =
    "bpu-sim: the backplane unit's firmware on simulated hardware\n"
    "  --broker HOST:PORT   without it the unit waits for set-up over --serial, or uses what --state holds\n"
    "  --id ID --user USER --password PASSWORD\n"
    "  --key HEX[,HEX]      TLS; the broker's P-256 public key (65 bytes, uncompressed), up to two\n"
    "  --slots N            3 or 4\n"
    "  --types 1,1,0        type of each slot, 0 = empty\n"
    "  --power 0,1,0        slots found with power, as after a restart of the unit alone\n"
    "  --always-on 0,0,1    slots with that jumper\n"
    "  --policy off|last|on --hold-s N --stagger-ms N --index N --wait-s N\n"
    "  --boot N             number of the first boot\n"
    "  --state DIR          keep what the unit keeps in flash\n"
    "  --serial PATH        terminal that is the unit's serial port\n"
    "  --update-key HEX     RSA-2048 modulus that signs updates\n"
    "  --control stdio|none|unix:PATH   see README.md\n"
    "  --clock wall|manual  manual: time moves by `advance` only\n";

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string one; std::getline(in, one, by);) parts.push_back(one);
  return parts;
}

uint32_t number(const std::string& name, const std::string& text, uint32_t low, uint32_t high) {
  uint32_t value = 0;
  if (!bpu::parse_decimal(bpu::Text{text.data(), text.size()}, high, value) || value < low)
    throw UsageError(name + " \"" + text + "\": want a number from " + std::to_string(low) + " to " +
                     std::to_string(high));
  return value;
}

std::vector<int> numbers(const std::string& name, const std::string& text, uint32_t high) {
  std::vector<int> list;
  for (const std::string& one : split(text, ',')) list.push_back(static_cast<int>(number(name, one, 0, high)));
  return list;
}

void copy(const std::string& name, const std::string& text, char* out, size_t capacity) {
  if (!bpu::copy_text(out, capacity, bpu::Text{text.data(), text.size()}))
    throw UsageError(name + ": longer than " + std::to_string(capacity - 1) + " characters");
}

void set_keys(bpu::Config& config, const std::string& text) {
  const auto keys = split(text, ',');
  if (keys.empty() || keys.size() > bpu::kKeySlots) throw UsageError("--key: one or two keys");
  for (size_t i = 0; i < keys.size(); i++) {
    if (!bpu::parse_hex(bpu::Text{keys[i].data(), keys[i].size()}, config.key[i], bpu::kPublicKey))
      throw UsageError("--key: want 130 hexadecimal digits");
    config.keys |= static_cast<uint8_t>(1 << i);
  }
  config.tls = 1;
}

void set_broker(host::Options& options, const std::string& value) {
  const size_t colon = value.rfind(':');
  if (colon == std::string::npos) throw UsageError("--broker \"" + value + "\": want HOST:PORT");
  copy("--broker", value.substr(0, colon), options.config.host, sizeof options.config.host);
  options.config.port = static_cast<uint16_t>(number("--broker", value.substr(colon + 1), 1, 65535));
  options.has_config = true;
}

void set_policy(bpu::Config& config, const std::string& value) {
  if (value == "off") config.policy = bpu::Policy::Off;
  else if (value == "last") config.policy = bpu::Policy::Last;
  else if (value == "on") config.policy = bpu::Policy::On;
  else throw UsageError("--policy \"" + value + "\": want off, last or on");
}

host::Options parse(int argc, char** argv) {
  host::Options o;
  bpu::Config& c = o.config;
  c.tls = 0;
  const std::map<std::string, std::function<void(const std::string&)>> known = {
      {"--broker", [&](auto& v) { set_broker(o, v); }},
      {"--id", [&](auto& v) { copy("--id", v, c.id, sizeof c.id); }},
      {"--user", [&](auto& v) { copy("--user", v, c.user, sizeof c.user); }},
      {"--password", [&](auto& v) { copy("--password", v, c.password, sizeof c.password); }},
      {"--key", [&](auto& v) { set_keys(c, v); }},
      {"--slots", [&](auto& v) { o.slots = static_cast<uint8_t>(number("--slots", v, 3, 4)); }},
      {"--types", [&](auto& v) { o.types = numbers("--types", v, 14); }},
      {"--power", [&](auto& v) { o.power = numbers("--power", v, 1); }},
      {"--always-on", [&](auto& v) { o.always_on = numbers("--always-on", v, 1); }},
      {"--policy", [&](auto& v) { set_policy(c, v); }},
      {"--hold-s", [&](auto& v) { c.hold_s = static_cast<uint16_t>(number("--hold-s", v, 0, 3600)); }},
      {"--stagger-ms", [&](auto& v) { c.stagger_ms = static_cast<uint16_t>(number("--stagger-ms", v, 0, 60000)); }},
      {"--index", [&](auto& v) { c.index = static_cast<uint8_t>(number("--index", v, 0, 63)); }},
      {"--wait-s", [&](auto& v) { c.wait_s = static_cast<uint16_t>(number("--wait-s", v, 1, 600)); }},
      {"--boot", [&](auto& v) { o.boot = number("--boot", v, 1, 0xffffffffu); }},
      {"--state", [&](auto& v) { o.state = v; }},
      {"--serial", [&](auto& v) { o.serial = v; }},
      {"--control", [&](auto& v) { o.control = v; }},
      {"--clock", [&](auto& v) { o.manual_clock = v == "manual"; }},
      {"--update-key",
       [&](auto& v) {
         o.update_key.resize(256);
         if (!bpu::parse_hex(bpu::Text{v.data(), v.size()}, o.update_key.data(), 256))
           throw UsageError("--update-key: want 512 hexadecimal digits");
       }},
  };
  for (int i = 1; i < argc; i++) {
    const std::string name = argv[i];
    if (name == "--help" || name == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    const auto found = known.find(name);
    if (found == known.end()) throw UsageError("unknown option \"" + name + "\"");
    if (i + 1 == argc) throw UsageError(name + " wants a value");
    found->second(argv[++i]);
  }
  if (c.id[0] != 0 && !bpu::valid_name(c.id)) throw UsageError("--id: only a-z, 0-9 and -");
  return o;
}

// The loop looks at everything that can speak, every 10 ms at least while the clock is the wall's.
int serve(host::Unit& unit, host::ControlChannel& control, bool manual) {
  using Clock = std::chrono::steady_clock;
  auto last = Clock::now();
  bool quit = false;
  while (!quit && !stopping) {
    pollfd list[4] = {};
    int fds[3];
    int count = unit.descriptors(fds);
    for (int i = 0; i < count; i++) list[i] = {fds[i], POLLIN, 0};
    if (control.descriptor() >= 0) list[count++] = {control.descriptor(), POLLIN, 0};
    poll(list, static_cast<nfds_t>(count), manual ? 20 : 10);
    const auto now = Clock::now();
    const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - last);
    last += elapsed;
    unit.pass(manual ? 0 : static_cast<uint32_t>(elapsed.count()));
    if (!control.receive()) break;
    std::string line;
    while (!quit && control.next(line)) control.send("= " + host::run_control_line(unit, line, quit));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const host::Options options = parse(argc, argv);
    for (const int number : {SIGTERM, SIGINT}) signal(number, [](int) { stopping = 1; });
    signal(SIGPIPE, SIG_IGN);
    host::ControlChannel control(options.control);
    host::Unit unit(options);
    unit.notify = [&](const std::string& text) { control.send("! " + text); };
    unit.start();
    return serve(unit, control, options.manual_clock);
  } catch (const UsageError& error) {
    std::fprintf(stderr, "bpu-sim: %s (bpu-sim --help tells the options)\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bpu-sim: %s\n", error.what());
    return 1;
  }
}
