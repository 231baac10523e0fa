// Set-up over the serial port: one JSON object a line in, one line that starts with '@' out. Lines of other kinds
// are log. Who holds the cable is trusted; passwords go in and never come out.
//
//   {"op":"hello"}             who is there
//   {"op":"set", settings...}  takes settings into a draft; as many lines as needed
//   {"op":"save"}              the draft becomes the configuration, kept and used at once
//   {"op":"get"}               the configuration without secrets
//   {"op":"status"}            is the network there, is the broker
//   {"op":"restart"}, {"op":"factory"}  (factory forgets all settings, then restarts)
//
// "n" is repeated in the answer. Answers have "ok" and, when it is false, "error".
#pragma once

#include "config.h"

namespace bpu {

class Provisioner {
 public:
  Provisioner(Hal& hal, Config& config) : hal_(hal), config_(config) {}

  // What `status` and `hello` tell.
  void show(uint32_t boot, bool connected) {
    boot_ = boot;
    connected_ = connected;
  }

  // Reads what has come in. True: the configuration has changed, use it.
  bool tick();
  bool take_restart() {
    const bool restart = restart_;
    restart_ = false;
    return restart;
  }

 private:
  void line();
  bool run(const JsonObject& json, const char* op, JsonWriter& answer);
  bool fail(JsonWriter& answer, const char* error);
  void hello(JsonWriter& answer);
  void get(JsonWriter& answer);

  Hal& hal_;
  Config& config_;
  Config draft_;
  bool drafting_ = false;
  bool changed_ = false;
  bool restart_ = false;
  bool connected_ = false;
  uint32_t boot_ = 0;
  size_t size_ = 0;
  bool too_long_ = false;
  char in_[513];
};

}  // namespace bpu
