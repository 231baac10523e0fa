#include "tests.h"
void test_provision() {}
