// Every message of the contract's list that a unit may receive, valid and not.
#include "examples.h"
#include "rig.h"
#include "tests.h"

namespace {

struct Line {
  char name[48], topic[96], payload[600];
  size_t size;
  bool in, retained, valid;
};

// Splits one line at its tabs; false for comments.
bool split(const char* text, size_t size, Line& line) {
  if (size == 0 || text[0] == '#') return false;
  const char* field[7];
  size_t length[7];
  for (int i = 0; i < 7; i++) {
    field[i] = text;
    const char* tab = i < 6 ? static_cast<const char*>(memchr(text, '\t', size)) : nullptr;
    length[i] = tab ? static_cast<size_t>(tab - text) : size;
    text += length[i] + (tab ? 1 : 0);
    size -= length[i] + (tab ? 1 : 0);
  }
  bpu::copy_text(line.name, sizeof line.name, bpu::Text{field[0], length[0]});
  bpu::copy_text(line.topic, sizeof line.topic, bpu::Text{field[5], length[5]});
  line.in = field[1][0] == 'i';
  line.retained = field[3][0] == '1';
  line.valid = field[4][0] == '1';
  line.size = 0;
  for (size_t i = 0; i < length[6]; i++) {
    uint8_t byte = static_cast<uint8_t>(field[6][i]);
    if (field[6][i] == '\\' && field[6][i + 1] == 'x') {
      CHECK(bpu::parse_hex(bpu::Text{field[6] + i + 2, 2}, &byte, 1));
      i += 3;
    }
    line.payload[line.size++] = static_cast<char>(byte);
  }
  return true;
}

bool controller(const Line& line) { return strstr(line.topic, "controller/status") != nullptr; }

void play(const Line& line) {
  test::context(line.name);
  test::Rig rig;
  rig.set_next_boot(7);
  rig.board.switch_on_before_start(0);
  rig.start();
  CHECK(rig.run_until_online());
  rig.run(1000);
  rig.broker.clear_log();
  rig.board.clear_counts();
  rig.broker.publish(line.topic, line.payload, line.size, line.retained);
  rig.run(500);
  const test::Message* ack = rig.newest("slot/1/ack");
  if (!ack) ack = rig.newest("ack");
  if (strncmp(line.name, "nak-", 4) == 0) {
    CHECK(ack && strstr(ack->payload, "\"code\":\"bad\"") && strstr(ack->payload, "\"ok\":false"));
  } else if (line.valid && !controller(line)) {
    CHECK(ack && strstr(ack->payload, "\"ok\":true"));
  } else {
    CHECK(!ack);
  }
  if (!line.valid) CHECK(rig.board.caddy(0).power_edges == 0 && rig.board.caddy(0).shutdown_pulses == 0);
  CHECK(rig.broker.errors() == 0 && rig.broker.sessions() >= 1);
}

}  // namespace

void test_messages() {
  uint32_t played = 0;
  for (const char* at = test::kMessages; *at;) {
    const char* end = strchr(at, '\n');
    if (!end) end = at + strlen(at);
    Line line;
    if (split(at, static_cast<size_t>(end - at), line) && line.in) {
      play(line);
      played++;
    }
    at = *end ? end + 1 : end;
  }
  CHECK(played > 40);
}
