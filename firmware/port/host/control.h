// The control channel of bpu-sim: see README.md.
#pragma once

#include <string>

#include "unit.h"

namespace host {

// Runs one line and returns its answer, without the leading "= ". quit is set by the line that ends the program.
std::string run_control_line(Unit& unit, const std::string& line, bool& quit);

// Where control lines come from: stdin and stdout, or a Unix socket with one client at a time.
class ControlChannel {
 public:
  // where: "stdio", "none" or "unix:PATH". Throws std::runtime_error.
  explicit ControlChannel(const std::string& where);
  ~ControlChannel();
  ControlChannel(const ControlChannel&) = delete;
  ControlChannel& operator=(const ControlChannel&) = delete;

  // The descriptor to wait for, -1 = none.
  int descriptor() const { return in_ >= 0 ? in_ : listen_; }
  // Reads what there is. False: the other end of stdio is gone.
  bool receive();
  bool next(std::string& line);
  void send(const std::string& line);

 private:
  std::string path_;
  int listen_ = -1, in_ = -1, out_ = -1;
  std::string pending_;
};

}  // namespace host
