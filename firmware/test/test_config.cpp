#include "tests.h"
void test_config() {}
