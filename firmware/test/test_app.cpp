#include "tests.h"
void test_app() {}
