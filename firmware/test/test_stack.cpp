// The deepest stack of the core's loop, measured on the chip's instruction set over everything it does.
#include "../core/version.h"
#include "port.h"
#include "rig.h"
#include "tests.h"

namespace {

constexpr uint32_t kLimit = 2560;

void talk(test::Rig& rig) {
  rig.command(1, "00000000-0000-0000-0000-000000000001", "cycle");
  rig.command(2, "00000000-0000-0000-0000-000000000002", "on");
  rig.command(3, "00000000-0000-0000-0000-000000000003", "led", ",\"led\":\"blink\"");
  rig.command(0, "00000000-0000-0000-0000-000000000004", "config", ",\"policy\":\"last\",\"hold_s\":3600,\"index\":63");
  // As deep and as long as a command may be.
  char payload[449];
  bpu::TextWriter text(payload, sizeof payload);
  text.text("{\"id\":\"00000000-0000-0000-0000-000000000005\",\"op\":\"shutdown\",\"epoch\":4294967295,\"boot\":1,\"exp\":999,");
  text.text("\"wait_s\":600,\"x\":[[{\"y\":\"\\ud83d\\ude00");
  while (text.size() < 440) text.text("z");
  text.text("\"}]]}");
  rig.broker.publish("caddyshack/v1/bpu/bpu-1/slot/2/cmd", payload, text.size(), false);
  rig.run(15000);
}

void set_up(test::Rig& rig) {
  char line[512], key[131];
  uint8_t point[65] = {4};
  bpu::TextWriter(key, sizeof key).hex(point, 65);
  bpu::TextWriter(line, sizeof line).text("{\"op\":\"set\",\"n\":4294967295,\"key0\":\"").text(key).text("\",\"key1\":\"").text(key).text("\"}\n");
  const char* lines[] = {line, "{\"op\":\"hello\"}\n", "{\"op\":\"get\"}\n", "{\"op\":\"save\"}\n", "{\"op\":\"nonsense\n",
                         "{\"op\":\"factory\"}\n"};
  for (const char* one : lines) {
    rig.console.type(one);
    rig.run(100);
  }
}

void update(test::Rig& rig) {
  static uint8_t file[6000];
  rig.server.file = file;
  rig.server.size = sizeof file;
  rig.command(0, "u9", "ota",
              ",\"url\":\"http://a-host-with-a-long-name.example:65535/a/path/of/some/length/firmware.bin\","
              "\"sha256\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"force\":true");
  rig.run(4000);
}

}  // namespace

void test_stack() {
  test::Rig rig;
  rig.board.switch_on_before_start(0);
  rig.measure_stack = true;
  rig.start();
  rig.run(2000);
  talk(rig);
  update(rig);
  rig.broker.drop_client();
  rig.run(5000);
  rig.run(62000, 50);
  set_up(rig);
  rig.run(3000);
  if (rig.deepest == 0) return;  // this platform cannot tell
  test::print("      deepest stack ");
  test::print(rig.deepest);
  test::print(" of ");
  test::print(kLimit);
  test::print(" bytes, simulated hardware included\n");
  CHECK(rig.deepest <= kLimit);
}
