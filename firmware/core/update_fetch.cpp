// The HTTP half of an update: one GET, straight into flash.
#include <string.h>

#include "text.h"
#include "update.h"

namespace bpu {

namespace {

bool starts_with(const char* line, const char* lower) {
  for (; *lower; line++, lower++) {
    const char c = *line >= 'A' && *line <= 'Z' ? static_cast<char>(*line + 32) : *line;
    if (c != *lower) return false;
  }
  return true;
}

}  // namespace

void Update::request() {
  const NetState state = hal_.http.state();
  if (state == NetState::Closed) return fail("cannot connect");
  if (state != NetState::Open) return;
  char text[320];
  TextWriter writer(text, sizeof text);
  writer.text("GET ").text(order_.path).text(" HTTP/1.0\r\nHost: ").text(order_.host).character(':');
  writer.number(order_.port).text("\r\nConnection: close\r\n\r\n");
  const int moved =
      hal_.http.write(reinterpret_cast<const uint8_t*>(text) + position_, writer.size() - position_);
  if (moved < 0) return fail("connection lost");
  position_ += static_cast<uint32_t>(moved);
  if (position_ < writer.size()) return;
  size_ = 0;
  status_ok_ = false;
  enter(Phase::Header, "fetch");
}

// Reads lines byte by byte; buffer_ holds the one being read, without its end; what does not fit is dropped.
void Update::header() {
  while (phase_ == Phase::Header) {
    uint8_t c;
    const int got = hal_.http.read(&c, 1);
    if (got == 0) return;
    if (got < 0) return fail("connection lost");
    if (c == '\r') continue;
    if (c != '\n') {
      if (fill_ < sizeof buffer_ - 1) buffer_[fill_++] = c;
      if (++position_ > 4096) return fail("not an answer of HTTP");
      continue;
    }
    buffer_[fill_] = 0;
    if (!header_line()) return;
    fill_ = 0;
  }
}

// False: the fetch has failed.
bool Update::header_line() {
  const char* line = reinterpret_cast<const char*>(buffer_);
  if (!status_ok_) {
    if (!starts_with(line, "http/1.") || strncmp(line + 8, " 200", 4) != 0) {
      fail("the server has no such file");
      return false;
    }
    status_ok_ = true;
  } else if (starts_with(line, "content-length:")) {
    const char* value = line + 15;
    while (*value == ' ') value++;
    if (!parse_decimal(Text{value, strlen(value)}, flash_map::kMaxImage, size_)) {
      fail("wrong size");
      return false;
    }
  } else if (fill_ == 0) {
    if (size_ <= kTail || size_ % 4 != 0) {
      fail("wrong size");
      return false;
    }
    enter(Phase::Body, "fetch");
  }
  return true;
}

void Update::body() {
  // A few blocks a tick; the sector that each begins with is erased when reached.
  for (int round = 0; round < 8; round++) {
    uint32_t want = size_ - position_ - fill_;
    if (want > sizeof buffer_ - fill_) want = sizeof buffer_ - fill_;
    const int got = hal_.http.read(buffer_ + fill_, want);
    if (got == 0) return;
    if (got < 0) return fail("connection lost");
    progress_ = true;
    fill_ += static_cast<uint32_t>(got);
    if (fill_ < sizeof buffer_ && position_ + fill_ < size_) continue;
    if (!store(fill_)) return fail("flash");
    if (position_ < size_) continue;
    hal_.http.close();
    whole_.reset();
    signed_.reset();
    enter(Phase::Verify, "verify");
    return;
  }
}

bool Update::store(size_t size) {
  const uint32_t address = flash_map::kStaging + position_;
  if (address % Flash::kSector == 0 && !hal_.flash.erase(address)) return false;
  if (!hal_.flash.write(address, buffer_, size)) return false;
  position_ += static_cast<uint32_t>(size);
  fill_ = 0;
  return true;
}

}  // namespace bpu
