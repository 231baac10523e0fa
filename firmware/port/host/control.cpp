#include "control.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>
#include <stdexcept>

namespace host {

namespace {

struct BadLine : std::runtime_error {
  using std::runtime_error::runtime_error;
};

uint32_t number(const std::string& text) {
  uint32_t value = 0;
  if (!bpu::parse_decimal(bpu::Text{text.data(), text.size()}, 0xffffffffu, value))
    throw BadLine("\"" + text + "\" is not a whole number");
  return value;
}

simhw::Stuck stuck(const std::string& text) {
  return text == "auto" ? simhw::kAuto : static_cast<simhw::Stuck>(number(text) != 0);
}

void set(simhw::Caddy& caddy, const std::string& pair) {
  const size_t sign = pair.find('=');
  if (sign == std::string::npos) throw BadLine("\"" + pair + "\" is not key=value");
  const std::string key = pair.substr(0, sign), value = pair.substr(sign + 1);
  if (key == "pgood") caddy.pgood = stuck(value);
  else if (key == "alive") caddy.alive = stuck(value);
  else if (key == "short") caddy.shorted = number(value) != 0;
  else if (key == "backfed") caddy.backfed = number(value) != 0;
  else if (key == "always_on") caddy.always_on = number(value) != 0;
  else if (key == "honours_shutdown") caddy.honours_shutdown = number(value) != 0;
  else if (key == "boot_ms") caddy.boot_ms = number(value);
  else if (key == "halt_ms") caddy.halt_ms = number(value);
  else if (key == "draw_ma") caddy.draw_ma = static_cast<int32_t>(number(value));
  else throw BadLine("unknown key \"" + key + "\"");
}

std::string show(Unit& unit, uint8_t slot) {
  const simhw::Caddy& c = unit.board().caddy(slot);
  std::ostringstream out;
  out << "ok pwr=" << c.power << " pwr_edges=" << c.power_edges << " shdn_pulses=" << c.shutdown_pulses
      << " reset_pulses=" << c.reset_pulses << " pgood=" << unit.board().pgood(slot)
      << " alive=" << unit.board().alive(slot) << " ma=" << unit.board().milliamps(slot)
      << " led=" << ((c.outputs & bpu::out::kLed) != 0) << " type=" << int(c.type);
  return out.str();
}

std::string slot_line(Unit& unit, std::istringstream& words) {
  std::string text, verb, word;
  words >> text >> verb;
  const uint32_t n = number(text);
  if (n < 1 || n > unit.board().units()) throw BadLine("there is no slot " + text);
  const uint8_t slot = static_cast<uint8_t>(n - 1);
  if (verb == "get") return show(unit, slot);
  if (verb == "set") {
    while (words >> word) set(unit.board().caddy(slot), word);
  } else if (verb == "insert" || verb == "remove") {
    uint32_t type = 0;
    if (verb == "insert") {
      words >> word;
      type = number(word);
      if (type < 1 || type > 14) throw BadLine("a type is 1 to 14");
    }
    unit.board().insert(slot, static_cast<uint8_t>(type));
  } else if (verb == "press") {
    words >> word;
    unit.board().press(slot, number(word));
  } else if (verb == "halt") {
    unit.board().halt(slot);
  } else {
    throw BadLine("unknown verb \"" + verb + "\"");
  }
  return "ok";
}

std::string status(Unit& unit) {
  std::ostringstream out;
  out << "ok boot=" << unit.app()->boot() << " up=" << unit.app()->uptime_s()
      << " online=" << (unit.powered() && unit.app()->mqtt().up())
      << " settled=" << (unit.powered() && unit.app()->settled()) << " powered=" << unit.powered()
      << " received=" << unit.app()->mqtt().counters().received << " clock=" << unit.board().ms() << " operations=" << unit.board().operations();
  return out.str();
}

std::string run(Unit& unit, const std::string& line, bool& quit) {
  std::istringstream words(line);
  std::string verb, word;
  words >> verb;
  if (verb == "slot") return slot_line(unit, words);
  if (verb == "status") return status(unit);
  if (verb == "advance") {
    words >> word;
    unit.advance(number(word));
    return status(unit);
  }
  if (verb == "settle") {
    unit.settle();
    return status(unit);
  }
  if (verb == "clear") {
    unit.board().clear_counts();
  } else if (verb == "mcu_reset") {
    if (words >> word)
      unit.board().cut_after(number(word));
    else
      unit.mcu_reset();
  } else if (verb == "power_loss") {
    unit.power_loss(words >> word ? number(word) : 2000);
  } else if (verb == "network") {
    words >> word;
    if (word != "up" && word != "down") throw BadLine("network up or down");
    unit.set_network(word == "up");
  } else if (verb == "quit") {
    quit = true;
  } else {
    throw BadLine("unknown command \"" + verb + "\"");
  }
  return "ok";
}

}  // namespace

std::string run_control_line(Unit& unit, const std::string& line, bool& quit) {
  try {
    return run(unit, line, quit);
  } catch (const BadLine& error) {
    return std::string("error ") + error.what();
  }
}

ControlChannel::ControlChannel(const std::string& where) {
  if (where == "none") return;
  if (where == "stdio") {
    in_ = STDIN_FILENO;
    out_ = STDOUT_FILENO;
    fcntl(in_, F_SETFL, fcntl(in_, F_GETFL) | O_NONBLOCK);
    return;
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (where.rfind("unix:", 0) != 0 || where.size() - 5 >= sizeof address.sun_path)
    throw std::runtime_error("--control is stdio, none or unix:PATH");
  path_ = where.substr(5);
  std::strcpy(address.sun_path, path_.c_str());
  unlink(path_.c_str());
  listen_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (bind(listen_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listen_, 1) != 0)
    throw std::runtime_error("listening on \"" + path_ + "\": " + std::strerror(errno));
}

ControlChannel::~ControlChannel() {
  if (listen_ < 0) return;
  if (in_ >= 0) close(in_);
  close(listen_);
  unlink(path_.c_str());
}

bool ControlChannel::receive() {
  if (in_ < 0) {
    if (listen_ >= 0) in_ = out_ = accept4(listen_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return true;
  }
  char bytes[4096];
  const ssize_t got = read(in_, bytes, sizeof bytes);
  if (got > 0) {
    pending_.append(bytes, static_cast<size_t>(got));
  } else if (got == 0) {
    if (listen_ < 0) return false;
    close(in_);
    in_ = out_ = -1;
    pending_.clear();
  }
  return true;
}

bool ControlChannel::next(std::string& line) {
  const size_t end = pending_.find('\n');
  if (end == std::string::npos) return false;
  line = pending_.substr(0, end);
  pending_.erase(0, end + 1);
  return true;
}

void ControlChannel::send(const std::string& line) {
  if (out_ < 0) return;
  const std::string text = line + "\n";
  // Answers are short; a reader that lets a pipe's worth pile up loses lines.
  if (write(out_, text.data(), text.size()) < 0) return;
}

}  // namespace host
