// Plays one of the conversations of bus/testdata/scenarios against the core.
#pragma once

namespace test {

// Plays text; failures are counted with the scenario's name and line.
void play_scenario(const char* name, const char* text);

}  // namespace test
