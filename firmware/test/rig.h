// One backplane unit with all of its simulated surroundings.
#pragma once

#include "../core/app_bpu.h"
#include "../simhw/board.h"
#include "../simhw/parts.h"
#include "broker.h"
#include "port.h"
#include "test.h"

namespace test {

class Rig;

// A console in memory.
class Lines final : public bpu::Console {
 public:
  int read() override { return in_at_ < in_size_ ? static_cast<uint8_t>(in_[in_at_++]) : -1; }
  void write(const char* text, size_t size) override {
    for (size_t i = 0; i < size && out_size_ < sizeof out - 1; i++) out[out_size_++] = text[i];
    out[out_size_] = 0;
  }
  void type(const char* text) {
    in_size_ = strlen(text);
    in_at_ = 0;
    memcpy(in_, text, in_size_);
  }
  void clear() {
    out_size_ = 0;
    out[0] = 0;
  }
  char out[4096] = "";

 private:
  char in_[2048];
  size_t in_size_ = 0, in_at_ = 0, out_size_ = 0;
};

class Esp final : public bpu::Chip {
 public:
  explicit Esp(simhw::Board& board) : board_(board) {}
  uint32_t random() override { return random_.next(); }
  void restart() override {
    if (!board_.operate()) return;
    restarts++;
    board_.kill();
  }
  const char* reset_reason() override { return reason; }
  uint32_t free_heap() override { return 31000; }
  int rssi() override { return -61; }
  uint16_t bus_mv() override { return 5080; }
  bool link_up() override { return link; }
  void ip(char* out, size_t size) override { bpu::copy_text(out, size, "192.0.2.7"); }
  void mac(uint8_t out[6]) override { memcpy(out, "\x5c\xcf\x7f\x00\x00\x01", 6); }

  const char* reason = "power";
  bool link = true;
  uint32_t restarts = 0;

 private:
  simhw::Board& board_;
  Random random_{7};
};

// A server that gives one file, to whoever asks.
class FileServer final : public bpu::Transport {
 public:
  void open(const char*, uint16_t, const bpu::Pins*) override {
    state_ = refuse ? bpu::NetState::Closed : bpu::NetState::Open;
    sent_ = head_sent_ = 0;
    asked[0] = 0;
    asked_size_ = 0;
  }
  bpu::NetState state() override { return slow ? bpu::NetState::Opening : state_; }
  int read(uint8_t* data, size_t size) override;
  int write(const uint8_t* data, size_t size) override;
  void close() override { state_ = bpu::NetState::Closed; }

  const char* head = "HTTP/1.1 200 OK\r\nServer: test\r\nContent-Length: ";  // followed by the size
  const char* raw_head = nullptr;                                              // instead, whole
  const uint8_t* file = nullptr;
  size_t size = 0;
  size_t chunk = 700;
  size_t lose_at = 0xffffffffu;  // the connection is lost after so many bytes of the file
  bool refuse = false, slow = false, silent = false;
  char asked[400] = "";

 private:
  bpu::NetState state_ = bpu::NetState::Closed;
  size_t sent_ = 0, head_sent_ = 0, asked_size_ = 0;
};

class TestVerifier final : public bpu::Verifier {
 public:
  // A signature is good when it is the digest, eight times: what counts here is what it is asked about.
  bool verify(const uint8_t digest[32], const uint8_t signature[256]) override {
    for (int i = 0; i < 8; i++)
      if (memcmp(signature + 32 * i, digest, 32) != 0) return false;
    return true;
  }
};

// The unit's memory that is its own: this is what the 12 KiB are about.
alignas(8) extern uint8_t app_memory[sizeof(bpu::BpuApp)];

class Rig {
 public:
  explicit Rig(uint8_t units = 3);

  bpu::BpuApp& app() { return *app_; }
  // Writes the settings as set-up would have.
  void configure(const bpu::Config& config) { bpu::save_config(records, config); }
  void set_next_boot(uint32_t boot);

  void start();                     // a new life of the MCU
  void start_cut();                 // the same, keeping a cut that the test has set
  void step(uint32_t ms = 10);      // the clock moves, the unit works, the broker works; a restart that the
                                    // unit asked for is done
  void run(uint32_t ms, uint32_t step_ms = 10);
  bool run_until_online(uint32_t limit_ms = 90000);
  void power_loss();
  void reset();                     // of the MCU alone

  // Publishes a command for a slot (1..4), or the unit (0), with good fences unless fields say otherwise.
  void command(uint8_t slot, const char* id, const char* op, const char* more = "");
  // The newest message under bpu/{id}/leaf since the log was cleared; null when there is none.
  const Message* newest(const char* leaf);
  bool acked(uint8_t slot, const char* id, const char* code);
  bpu::Power power(uint8_t slot) { return app().slot(static_cast<uint8_t>(slot - 1)).view().power; }

  simhw::Board board;
  simhw::Records records;
  simhw::NorFlash flash;
  Esp esp;
  Lines console;
  FileServer server;
  TestVerifier verifier;
  Broker& broker;
  uint32_t epoch = 1;
  uint32_t deepest = 0;     // stack of a start or a tick, where the platform can tell
  bool measure_stack = false;

 private:
  template <typename Work>
  void measured(Work work) {
    if (measure_stack) port_paint_stack();
    work();
    if (!measure_stack) return;
    const uint32_t used = port_stack_used();
    if (used > deepest) deepest = used;
  }

  bpu::Hal hal_;
  bpu::BpuApp* app_ = nullptr;
};

bpu::Config default_config();
// A unit that is not set up, so that nothing but power happens.
bpu::Config no_network();

// Which transitions of slots all tests so far have seen: bit `to` of [from].
extern uint8_t visited[6];

}  // namespace test
