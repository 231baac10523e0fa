// Set-up over the serial port.
#include "rig.h"
#include "tests.h"

using test::Rig;

namespace {

// Types a line and returns what came back that starts with '@'.
const char* ask(Rig& rig, const char* line) {
  rig.console.clear();
  rig.console.type(line);
  rig.run(100);
  const char* at = strchr(rig.console.out, '@');
  return at ? at : "";
}

}  // namespace

void test_provision() {
  Rig rig;
  rig.records.forget();
  rig.start();
  rig.run(1000);
  CHECK(rig.app().mqtt().resting());
  CHECK_TEXT(ask(rig, "{\"op\":\"hello\",\"n\":7}\n"),
             "@{\"n\":7,\"op\":\"hello\",\"version\":10000,\"hw\":\"a\",\"id\":\"bpu-000001\",\"mac\":\"5ccf7f000001\","
             "\"boot\":1,\"reset\":\"power\",\"ok\":true}\n");
  CHECK(strstr(ask(rig, "rubbish\r\n"), "\"ok\":false"));
  CHECK(strstr(ask(rig, "{\"op\":\"dance\"}\n"), "unknown op"));
  CHECK(strstr(ask(rig, "{\"op\":7}\n"), "\"ok\":false"));
  CHECK_TEXT(ask(rig, "\r\n\n"), "");
  char line[700];
  memset(line, 'x', sizeof line);
  line[600] = '\n';
  line[601] = 0;
  CHECK(strstr(ask(rig, line), "longer than 512"));
  CHECK(strstr(ask(rig, "{\"op\":\"status\"}\n"), "\"connected\":false"));
  // A draft that cannot connect is not taken.
  CHECK(strstr(ask(rig, "{\"op\":\"set\",\"id\":\"bpu-1\",\"ssid\":\"net\",\"wifi_password\":\"secret1\"}\n"), "\"ok\":true"));
  CHECK(strstr(ask(rig, "{\"op\":\"save\"}\n"), "are needed"));
  CHECK(strstr(ask(rig, "{\"op\":\"set\",\"port\":99999}\n"), "out of range"));
  CHECK(strstr(ask(rig, "{\"op\":\"set\",\"host\":\"broker\",\"port\":1883,\"tls\":false,\"password\":\"secret2\"}\n"), "\"ok\":true"));
  rig.records.broken = true;
  CHECK(strstr(ask(rig, "{\"op\":\"save\"}\n"), "storage failed"));
  rig.records.broken = false;
  CHECK(strstr(ask(rig, "{\"op\":\"save\"}\n"), "\"ok\":true"));
  CHECK(rig.run_until_online());
  CHECK_TEXT(rig.broker.user, "bpu-1");  // the new id, not the one from the MAC
  CHECK_TEXT(rig.broker.password, "secret2");
  CHECK(strstr(ask(rig, "{\"op\":\"status\"}\n"), "\"connected\":true"));
  const char* shown = ask(rig, "{\"op\":\"get\"}\n");
  CHECK(strstr(shown, "\"host\":\"broker\"") && strstr(shown, "\"id\":\"bpu-1\"") && !strstr(shown, "secret"));
  CHECK(strstr(ask(rig, "{\"op\":\"save\"}\n"), "\"ok\":true"));  // nothing new
  // It is kept over a loss of power; factory forgets it.
  rig.power_loss();
  CHECK(rig.run_until_online());
  const uint32_t boot = rig.app().boot();
  rig.console.type("{\"op\":\"restart\"}\n");
  rig.run(3000);
  CHECK(rig.app().boot() == boot + 1 && rig.run_until_online());
  rig.console.type("{\"op\":\"factory\"}\n");
  rig.run(3000);
  CHECK(rig.app().boot() == boot + 2 && rig.app().mqtt().resting());
  CHECK(rig.app().config().host[0] == 0);
}
