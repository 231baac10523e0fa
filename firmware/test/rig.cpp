#include "rig.h"

#include "../core/version.h"
#include "port.h"

// Placement, without a header of the C++ library.
inline void* operator new(size_t, void* at, int) noexcept { return at; }

namespace test {

alignas(8) __attribute__((section(".core_memory"))) uint8_t app_memory[sizeof(bpu::BpuApp)];

namespace {
Broker the_broker;
uint8_t flash_memory[simhw::NorFlash::kSize];
}  // namespace

uint8_t visited[6];

bpu::Config no_network() {
  bpu::Config config = default_config();
  config.host[0] = 0;
  return config;
}

bpu::Config default_config() {
  bpu::Config config;
  bpu::copy_text(config.id, sizeof config.id, "bpu-1");
  bpu::copy_text(config.host, sizeof config.host, "broker");
  config.tls = 0;
  config.policy = bpu::Policy::Off;
  return config;
}

int FileServer::read(uint8_t* data, size_t want) {
  if (state_ != bpu::NetState::Open) return -1;
  if (silent || strstr(asked, "\r\n\r\n") == nullptr) return 0;
  char text[256];
  bpu::TextWriter writer(text, sizeof text);
  if (raw_head)
    writer.text(raw_head);
  else
    writer.text(head).number(static_cast<uint32_t>(size)).text("\r\n\r\n");
  if (want > chunk) want = chunk;
  if (head_sent_ < writer.size()) {
    if (want > writer.size() - head_sent_) want = writer.size() - head_sent_;
    memcpy(data, text + head_sent_, want);
    head_sent_ += want;
    return static_cast<int>(want);
  }
  if (want > size - sent_) want = size - sent_;
  if (want > lose_at - sent_) want = lose_at - sent_;
  if (want == 0) {
    state_ = bpu::NetState::Closed;
    return -1;
  }
  memcpy(data, file + sent_, want);
  sent_ += want;
  return static_cast<int>(want);
}

int FileServer::write(const uint8_t* data, size_t count) {
  if (state_ != bpu::NetState::Open) return -1;
  if (count > 40) count = 40;
  if (count > sizeof asked - 1 - asked_size_) return -1;
  memcpy(asked + asked_size_, data, count);
  asked_size_ += count;
  asked[asked_size_] = 0;
  return static_cast<int>(count);
}

Rig::Rig(uint8_t units)
    : board(units),
      records(board),
      flash(board, flash_memory),
      esp(board),
      broker(the_broker),
      hal_{board, board, board, board, records, broker, server, flash, verifier, console, esp} {
  the_broker.reset();
  const simhw::NorFlash::ImageHead head = {simhw::NorFlash::kImageMagic, bpu::kFirmwareNumber, 4096, 0};
  flash.fill(0, &head, sizeof head);
  configure(default_config());
}

void Rig::set_next_boot(uint32_t boot) {
  boot--;
  records.save("boot", &boot, sizeof boot);
}

void Rig::start() {
  board.revive();
  start_cut();
}

void Rig::start_cut() {
  console.clear();
  app_ = new (app_memory, 0) bpu::BpuApp(hal_);
  for (uint8_t i = 0; i < bpu::kMaxSlots; i++) app_->slot(i).watch(visited);
  measured([this] { app_->start(); });
}

void Rig::reset() {
  board.kill();
  esp.reason = "watchdog";
  flash.mend();
  flash.boot();
  start();
}

void Rig::power_loss() {
  board.kill();
  esp.reason = "power";
  board.power_loss();
  flash.power_loss();
  broker.drop_client();
  board.advance(2000);
  board.revive();
  start();
}

void Rig::step(uint32_t ms) {
  board.advance(ms);
  broker.pump();
  measured([this] { app_->tick(); });
  broker.pump();
  if (!board.alive_mcu() && esp.restarts > 0) {
    esp.restarts = 0;
    esp.reason = "soft";
    flash.mend();
    flash.boot();
    start();
  }
}

void Rig::run(uint32_t ms, uint32_t step_ms) {
  for (uint32_t done = 0; done < ms; done += step_ms) step(step_ms);
}

bool Rig::run_until_online(uint32_t limit_ms) {
  for (uint32_t done = 0; done < limit_ms; done += 10) {
    if (app_->mqtt().up() && app_->settled()) return true;
    step();
  }
  return false;
}

void Rig::command(uint8_t slot, const char* id, const char* op, const char* more) {
  char topic[64], payload[449];
  bpu::TextWriter t(topic, sizeof topic), p(payload, sizeof payload);
  t.text("caddyshack/v1/bpu/bpu-1/");
  if (slot > 0) t.text("slot/").number(slot).character('/');
  t.text("cmd");
  p.text("{\"id\":\"").text(id).text("\",\"op\":\"").text(op).text("\",\"epoch\":").number(epoch);
  p.text(",\"boot\":").number(app_->boot()).text(",\"exp\":").number(app_->uptime_s() + 60).text(more).text("}");
  broker.publish(topic, payload, p.size(), false);
}

const Message* Rig::newest(const char* leaf) {
  char topic[96];
  bpu::TextWriter(topic, sizeof topic).text("caddyshack/v1/bpu/bpu-1/").text(leaf);
  for (uint32_t i = broker.count(); i > 0; i--)
    if (strcmp(broker.logged(i - 1).topic, topic) == 0) return &broker.logged(i - 1);
  return nullptr;
}

bool Rig::acked(uint8_t slot, const char* id, const char* code) {
  char topic[96], want[32], name[64];
  bpu::TextWriter t(topic, sizeof topic);
  t.text("caddyshack/v1/bpu/bpu-1/");
  if (slot > 0) t.text("slot/").number(slot).character('/');
  t.text("ack");
  bpu::TextWriter(want, sizeof want).text("\"code\":\"").text(code).character('"');
  bpu::TextWriter(name, sizeof name).text("\"id\":\"").text(id).character('"');
  for (uint32_t i = 0; i < broker.count(); i++) {
    const Message& m = broker.logged(i);
    if (strcmp(m.topic, topic) == 0 && strstr(m.payload, want) && strstr(m.payload, name)) return true;
  }
  return false;
}

}  // namespace test
