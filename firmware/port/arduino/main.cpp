// The backplane unit on an ESP8266.
#include <Arduino.h>

#include "../../core/app_bpu.h"
#include "hal_arduino.h"

namespace {

arduino_port::Board board;
arduino_port::Files files;
arduino_port::Connection mqtt, http;
arduino_port::ProgramFlash flash;
arduino_port::Signatures signatures;
arduino_port::UsbSerial usb;
arduino_port::Esp esp;
bpu::Hal hal{board, board, board, board, files, mqtt, http, flash, signatures, usb, esp};
bpu::BpuApp app(hal);
char joined_ssid[33], joined_password[65];

// Follows the settings: joins when they are new; the Arduino core comes back by itself after a loss.
void join() {
  const bpu::Config& config = app.config();
  if (strcmp(config.ssid, joined_ssid) == 0 && strcmp(config.wifi_password, joined_password) == 0) return;
  strcpy(joined_ssid, config.ssid);
  strcpy(joined_password, config.wifi_password);
  WiFi.begin(joined_ssid, joined_password);
}

}  // namespace

void setup() {
  board.begin();
  Serial.setRxBufferSize(1024);
  Serial.begin(115200);
  files.begin();
  WiFi.persistent(false);
  WiFi.mode(WIFI_STA);
  WiFi.setAutoReconnect(true);
  app.start();
}

void loop() {
  join();
  app.tick();
}
