#include "tests.h"
void test_stack() {}
