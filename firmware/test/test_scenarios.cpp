#include "examples.h"
#include "scenario.h"
#include "tests.h"

void test_scenarios() {
  for (unsigned i = 0; i < test::kScenarioCount; i++)
    test::play_scenario(test::kScenarios[i].name, test::kScenarios[i].text);
}
