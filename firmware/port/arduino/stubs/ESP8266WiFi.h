// Declarations only; see README.md.
#pragma once

#include "Arduino.h"

enum wl_status_t { WL_IDLE_STATUS = 0, WL_CONNECTED = 3, WL_DISCONNECTED = 7 };
enum WiFiMode_t { WIFI_OFF = 0, WIFI_STA = 1 };

class IPAddress {
 public:
  String toString() const;
};

class ESP8266WiFiClass {
 public:
  void persistent(bool on);
  bool mode(WiFiMode_t mode);
  bool setAutoReconnect(bool on);
  wl_status_t begin(const char* ssid, const char* password);
  wl_status_t status();
  int8_t RSSI();
  IPAddress localIP();
  uint8_t* macAddress(uint8_t* out);
};
extern ESP8266WiFiClass WiFi;

class WiFiClient {
 public:
  virtual ~WiFiClient();
  virtual int connect(const char* host, uint16_t port);
  virtual uint8_t connected();
  virtual int available();
  virtual int read(uint8_t* data, size_t size);
  virtual size_t write(const uint8_t* data, size_t size);
  virtual int availableForWrite();
  virtual void stop();
  void setTimeout(unsigned long ms);
};
