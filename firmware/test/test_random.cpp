#include "tests.h"
void test_random() {}
