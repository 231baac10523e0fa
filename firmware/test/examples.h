// The contract's examples, generated from bus/testdata at build time.
#pragma once

namespace test {

struct Example {
  const char* name;
  const char* text;
};
extern const Example kScenarios[];
extern const unsigned kScenarioCount;
extern const char kMessages[];

}  // namespace test
