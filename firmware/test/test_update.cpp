#include "tests.h"
void test_update() {}
