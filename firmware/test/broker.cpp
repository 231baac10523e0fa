#include "broker.h"

#include <string.h>

namespace test {

using bpu::NetState;

namespace {

uint16_t word(const uint8_t* at) { return static_cast<uint16_t>(at[0] << 8 | at[1]); }

// Takes a length-prefixed text; false when it is not whole or does not fit.
bool take(const uint8_t*& at, const uint8_t* end, char* out, size_t capacity) {
  if (end - at < 2) return false;
  const size_t size = word(at);
  at += 2;
  if (size > static_cast<size_t>(end - at) || size >= capacity) return false;
  memcpy(out, at, size);
  out[size] = 0;
  at += size;
  return strlen(out) == size;
}

}  // namespace

void Broker::reset() {
  state_ = NetState::Closed;
  session_ = subscribed_ = refuse_ = bye_ = lost_ = deaf = stuck = drop_pubacks = false;
  cut_after_ = -1;
  window = 0xffffffffu;
  connack = 0;
  suback[0] = suback[1] = suback[2] = 1;
  opens_ = sessions_ = errors_ = pings_ = acks_ = 0;
  from_size_ = to_start_ = to_size_ = 0;
  log_size_ = kept_size_ = 0;
}

void Broker::open(const char*, uint16_t, const bpu::Pins*) {
  pump();
  opens_++;
  if (session_) end_session(true);  // a second connection of the same client takes over
  from_size_ = to_start_ = to_size_ = 0;
  subscribed_ = false;
  state_ = refuse_ ? NetState::Closed : NetState::Open;
}

// Shortens size to what may still pass before the cut; false when the connection is cut now.
bool Broker::spend(size_t& size) {
  if (size > window) size = window;
  if (cut_after_ < 0) return true;
  if (cut_after_ == 0) {
    cut_after_ = -1;
    drop_client();
    return false;
  }
  if (size > static_cast<size_t>(cut_after_)) size = static_cast<size_t>(cut_after_);
  cut_after_ -= static_cast<int32_t>(size);
  return true;
}

int Broker::read(uint8_t* data, size_t size) {
  if (state_ != NetState::Open) return -1;
  if (to_size_ == to_start_) return 0;
  if (size > to_size_ - to_start_) size = to_size_ - to_start_;
  if (!spend(size)) return -1;
  memcpy(data, to_ + to_start_, size);
  to_start_ += size;
  if (to_start_ == to_size_) to_start_ = to_size_ = 0;
  return static_cast<int>(size);
}

int Broker::write(const uint8_t* data, size_t size) {
  if (state_ != NetState::Open) return -1;
  if (stuck) return 0;
  if (size > sizeof from_ - from_size_) size = sizeof from_ - from_size_;
  if (size == 0 || !spend(size)) return size == 0 ? 0 : -1;
  memcpy(from_ + from_size_, data, size);
  from_size_ += size;
  return static_cast<int>(size);
}

void Broker::close() {
  pump();  // what was sent before the close arrives
  if (session_) end_session(true);
  state_ = NetState::Closed;
}

// What was sent before the loss still arrives, when the broker next works.
void Broker::drop_client() {
  state_ = NetState::Closed;
  lost_ = true;
}

void Broker::end_session(bool will) {
  session_ = subscribed_ = false;
  if (will) store(will_topic_, will_payload_, strlen(will_payload_), 1, true);
}

void Broker::inject(const uint8_t* data, size_t size) {
  if (to_size_ + size > kBuffer) return;
  memcpy(to_ + to_size_, data, size);
  to_size_ += size;
}

void Broker::pump() {
  if (deaf)
    from_size_ = 0;
  else
    take_packets();
  if (!lost_) return;
  lost_ = false;
  from_size_ = 0;
  if (session_) end_session(true);
}

void Broker::take_packets() {
  while (from_size_ >= 2) {
    size_t length = 0, header = 1;
    uint8_t digit;
    do {
      if (header == from_size_) return;
      digit = from_[header];
      length |= static_cast<size_t>(digit & 0x7f) << (7 * (header - 1));
      header++;
    } while (digit & 0x80);
    if (from_size_ < header + length) return;
    packet(from_, header, length);
    const size_t used = header + length;
    if (from_size_ < used) return;  // closed while handling
    memmove(from_, from_ + used, from_size_ - used);
    from_size_ -= used;
  }
}

void Broker::packet(const uint8_t* data, size_t header, size_t size) {
  const uint8_t type = data[0] >> 4, flags = data[0] & 15;
  const uint8_t *at = data + header, *end = at + size;
  if ((type == 1) == session_) breach();  // CONNECT once, and first
  switch (type) {
    case 1: on_connect(at, end); break;
    case 3: on_publish(flags, at, end); break;
    case 4:
      if (flags != 0 || size != 2) breach();
      acks_++;
      break;
    case 8:
      if (flags != 2) breach();
      on_subscribe(at, end);
      break;
    case 12: {
      if (flags != 0 || size != 0) breach();
      pings_++;
      const uint8_t pong[2] = {0xd0, 0};
      inject(pong, 2);
      break;
    }
    case 14:
      bye_ = true;
      end_session(false);
      break;
    default: breach();
  }
}

void Broker::on_connect(const uint8_t* at, const uint8_t* end) {
  char protocol[8];
  user[0] = password[0] = 0;
  if (!take(at, end, protocol, sizeof protocol) || strcmp(protocol, "MQTT") != 0 || end - at < 4 || at[0] != 4)
    return breach();
  const uint8_t flags = at[1];
  keepalive_ = word(at + 2);
  at += 4;
  // Clean session, retained will of QoS 1; user and password come together.
  if ((flags & 0x3f) != 0x2e || ((flags & 0xc0) != 0xc0 && (flags & 0xc0) != 0)) breach();
  if (!take(at, end, client_id, sizeof client_id) || !take(at, end, will_topic_, sizeof will_topic_) ||
      !take(at, end, will_payload_, sizeof will_payload_))
    return breach();
  if (flags & 0x80 && (!take(at, end, user, sizeof user) || !take(at, end, password, sizeof password))) breach();
  if (at != end) breach();
  const uint8_t answer[4] = {0x20, 2, 0, connack};
  inject(answer, 4);
  if (connack != 0) return;
  session_ = true;
  sessions_++;
}

void Broker::on_publish(uint8_t flags, const uint8_t* at, const uint8_t* end) {
  char topic[96];
  const uint8_t qos = (flags >> 1) & 3;
  if (qos > 1 || !take(at, end, topic, sizeof topic) || topic[0] == 0) return breach();
  if (qos == 1) {
    if (end - at < 2 || word(at) == 0) return breach();
    const uint8_t ack[4] = {0x40, 2, at[0], at[1]};
    at += 2;
    if (!drop_pubacks) inject(ack, 4);
  }
  if (end - at > 448) breach();
  store(topic, reinterpret_cast<const char*>(at), static_cast<size_t>(end - at), qos, flags & 1);
}

void Broker::on_subscribe(const uint8_t* at, const uint8_t* end) {
  if (end - at < 2) return breach();
  uint8_t answer[7] = {0x90, 2, at[0], at[1]};
  at += 2;
  int n = 0;
  while (at < end && n < 3) {
    if (!take(at, end, filters_[n], sizeof filters_[n]) || end - at < 1 || *at++ != 0) return breach();
    answer[4 + n] = suback[n];
    if (suback[n] > 1) filters_[n][0] = 0;
    n++;
  }
  if (at != end) breach();
  for (; n < 3; n++) filters_[n][0] = 0;
  answer[1] = 5;
  inject(answer, 7);
  subscribed_ = true;
  for (uint32_t i = 0; i < kept_size_; i++)
    if (kept_[i].size > 0 && matches(kept_[i].topic)) deliver(kept_[i].topic, kept_[i].payload, kept_[i].size, true);
}

void Broker::store(const char* topic, const char* payload, size_t size, uint8_t qos, bool retain) {
  Message* slots[2] = {nullptr, nullptr};
  if (log_size_ < sizeof log_ / sizeof log_[0]) slots[0] = &log_[log_size_++];
  if (retain) {
    for (uint32_t i = 0; i < kept_size_; i++)
      if (strcmp(kept_[i].topic, topic) == 0) slots[1] = &kept_[i];
    if (!slots[1] && kept_size_ < sizeof kept_ / sizeof kept_[0]) slots[1] = &kept_[kept_size_++];
  }
  for (Message* one : slots) {
    if (!one) continue;
    strncpy(one->topic, topic, sizeof one->topic - 1);
    one->topic[sizeof one->topic - 1] = 0;
    one->size = size < sizeof one->payload - 1 ? size : sizeof one->payload - 1;
    memcpy(one->payload, payload, one->size);
    one->payload[one->size] = 0;
    one->qos = qos;
    one->retain = retain;
  }
}

bool Broker::matches(const char* topic) const {
  for (const auto& filter : filters_) {
    const char *f = filter, *t = topic;
    while (*f && *t) {
      if (*f == '+') {
        while (*t && *t != '/') t++;
        f++;
      } else if (*f == *t) {
        f++;
        t++;
      } else {
        break;
      }
    }
    if (filter[0] && !*f && !*t) return true;
  }
  return false;
}

// deliver sends with QoS 1 though 0 is asked for, as a mosquitto with upgrade_outgoing_qos does: the most work for the unit.
void Broker::deliver(const char* topic, const char* payload, size_t size, bool retain) {
  if (to_size_ + size + 128 > kBuffer) return;
  uint8_t* at = to_ + to_size_;
  const size_t name = strlen(topic);
  size_t left = 2 + name + 2 + size;
  *at++ = static_cast<uint8_t>(0x32 | (retain ? 1 : 0));
  do {
    *at++ = static_cast<uint8_t>((left & 0x7f) | (left > 127 ? 0x80 : 0));
    left >>= 7;
  } while (left > 0);
  *at++ = 0;
  *at++ = static_cast<uint8_t>(name);
  memcpy(at, topic, name);
  at += name;
  if (++next_id_ == 0) next_id_ = 1;
  *at++ = static_cast<uint8_t>(next_id_ >> 8);
  *at++ = static_cast<uint8_t>(next_id_);
  memcpy(at, payload, size);
  to_size_ = static_cast<size_t>(at - to_) + size;
}

void Broker::publish(const char* topic, const char* payload, size_t size, bool retain) {
  if (retain) {
    store(topic, payload, size, 1, true);
    log_size_--;  // the log holds what the unit says
  }
  // A plain broker clears the flag of what it passes on live (3.3.1.3); one that keeps it, as over a bridge, lets
  // the rule for retained commands be tried on a live message too.
  if (subscribed_ && matches(topic)) deliver(topic, payload, size, retain);
}

const Message* Broker::retained(const char* topic) const {
  for (uint32_t i = 0; i < kept_size_; i++)
    if (strcmp(kept_[i].topic, topic) == 0 && kept_[i].size > 0) return &kept_[i];
  return nullptr;
}

}  // namespace test
