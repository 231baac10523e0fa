#include "../core/config.h"
#include "rig.h"
#include "tests.h"

namespace {

bool bus(bpu::Config& config, const char* text) {
  bpu::JsonObject json;
  CHECK(json.parse(text, strlen(text)));
  return bpu::apply_bus_settings(json, config);
}

bool all(bpu::Config& config, const char* text) {
  bpu::JsonObject json;
  CHECK(json.parse(text, strlen(text)));
  return bpu::apply_all_settings(json, config);
}

}  // namespace

void test_config() {
  bpu::Config c;
  CHECK(bus(c, "{\"policy\":\"on\",\"hold_s\":3600,\"stagger_ms\":60000,\"index\":63,\"other\":1}"));
  CHECK(c.policy == bpu::Policy::On && c.hold_s == 3600 && c.stagger_ms == 60000 && c.index == 63);
  const char* bad[] = {"{\"policy\":1}", "{\"policy\":\"never\"}", "{\"policy\":\"something long\"}", "{\"hold_s\":3601}",
                       "{\"hold_s\":-1}", "{\"stagger_ms\":60001}", "{\"index\":64}", "{\"policy\":\"off\",\"index\":\"1\"}"};
  for (const char* text : bad) {
    test::context(text);
    CHECK(!bus(c, text) && c.policy == bpu::Policy::On);
  }
  CHECK(all(c, "{\"id\":\"bpu-9\",\"ssid\":\"s\",\"wifi_password\":\"w\",\"host\":\"h\",\"port\":1883,\"user\":\"u\","
               "\"password\":\"p\",\"wait_s\":600,\"tls\":false}"));
  CHECK_TEXT(c.id, "bpu-9");
  CHECK(c.port == 1883 && !c.tls && c.wait_s == 600 && bpu::ready_to_connect(c));
  const char* worse[] = {"{\"id\":\"BPU\"}", "{\"id\":\"a-name-of-24-characters\\u0061\"}", "{\"ssid\":7}", "{\"port\":0}",
                         "{\"port\":65536}", "{\"tls\":1}", "{\"wait_s\":0}", "{\"key0\":\"04\"}", "{\"key1\":5}",
                         "{\"host\":true}", "{\"user\":1}", "{\"password\":1}", "{\"wifi_password\":1}", "{\"policy\":3}"};
  for (const char* text : worse) {
    test::context(text);
    CHECK(!all(c, text));
  }
  char text[200];
  uint8_t point[65] = {4, 1, 2};
  bpu::TextWriter(text, sizeof text).text("{\"tls\":true,\"key1\":\"").hex(point, 65).text("\"}");
  c.tls = 1;
  CHECK(!bpu::ready_to_connect(c));
  CHECK(all(c, text) && c.keys == 2 && c.key[1][0] == 4 && bpu::ready_to_connect(c));
  point[0] = 2;  // compressed points are not taken
  bpu::TextWriter(text, sizeof text).text("{\"key0\":\"").hex(point, 65).text("\"}");
  CHECK(!all(c, text));
  CHECK(all(c, "{\"key1\":\"\"}") && c.keys == 0);

  simhw::Board board;
  simhw::Records records(board);
  bpu::Config loaded;
  CHECK(!bpu::load_config(records, loaded));
  CHECK(bpu::save_config(records, c) && bpu::load_config(records, loaded));
  CHECK_TEXT(loaded.host, "h");
  CHECK(loaded.hold_s == 3600);
  uint8_t raw[640];
  const int size = records.load("config", raw, sizeof raw);
  raw[20] ^= 1;
  records.save("config", raw, static_cast<size_t>(size));
  CHECK(!bpu::load_config(records, loaded));
  raw[20] ^= 1;
  raw[0] ^= 1;
  records.save("config", raw, static_cast<size_t>(size));
  CHECK(!bpu::load_config(records, loaded));

  bpu::Config fresh;
  test::Esp esp(board);
  bpu::complete_config(esp, fresh);
  CHECK_TEXT(fresh.id, "bpu-000001");
  CHECK(!bpu::ready_to_connect(fresh));
}
