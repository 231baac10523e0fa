#include "port.h"
#include "rig.h"
#include "tests.h"

namespace {

struct Group {
  const char* name;
  void (*run)();
};

const Group kGroups[] = {
    {"text", test_text},           {"json", test_json},
    {"shift chain", test_shiftchain}, {"ina219", test_ina219},
    {"slot", test_slot},           {"mqtt codec", test_mqtt_codec},
    {"mqtt client", test_mqtt_client}, {"mqtt faults", test_mqtt_faults},
    {"config", test_config},       {"provisioning", test_provision},
    {"contract messages", test_messages}, {"contract scenarios", test_scenarios},
    {"app", test_app},             {"reset at every operation", test_reset_cut},
    {"update", test_update},       {"update cut at every write", test_update_cut},
    {"random", test_random},       {"stack", test_stack},
    {"transitions", test_transitions},
};

}  // namespace

int main() {
  for (const Group& group : kGroups) {
    const uint32_t before = test::failures();
    test::context(group.name);
    group.run();
    test::print(test::failures() == before ? "ok    " : "FAIL  ");
    test::print(group.name);
    test::print("\n");
  }
  return test::failures() == 0 ? 0 : 1;
}
