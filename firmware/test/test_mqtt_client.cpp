#include "tests.h"
void test_mqtt_client() {}
