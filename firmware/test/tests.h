// All test groups; main runs them in this order.
#pragma once

void test_text();
void test_json();
void test_shiftchain();
void test_ina219();
void test_slot();
void test_mqtt_codec();
void test_mqtt_client();
void test_mqtt_faults();
void test_config();
void test_provision();
void test_messages();
void test_scenarios();
void test_app();
void test_reset_cut();
void test_update();
void test_update_cut();
void test_random();
void test_stack();
void test_transitions();
