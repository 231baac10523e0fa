// A whole unit that is connected gets any bytes from its broker (first half) and its serial port (second half).
// Power is touched by valid commands alone, and none can be in there: their boot number would have to fit.
#include "../test/rig.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static test::Rig rig;
  static bool started = false;
  if (!started) {
    rig.set_next_boot(3900000001u);
    rig.board.switch_on_before_start(0);
    rig.board.clear_counts();
    rig.start();
    started = true;
  }
  rig.broker.clear_log();
  if (!rig.run_until_online(200000)) __builtin_trap();
  const size_t half = size / 2;
  rig.broker.inject(data, half);
  char line[600];
  const size_t typed = size - half < sizeof line - 2 ? size - half : sizeof line - 2;
  memcpy(line, data + half, typed);
  line[typed] = '\n';
  line[typed + 1] = 0;
  rig.console.clear();
  rig.console.type(line);
  rig.run(300);
  if (rig.board.caddy(0).power_edges != 0 || rig.board.caddy(1).power_edges != 0 || rig.broker.errors() != 0)
    __builtin_trap();
  if (strstr(line, "\"op\"")) {  // it may have been set up anew
    rig.configure(test::default_config());
    rig.start();
  }
  return 0;
}
