// Declarations only; see README.md.
#pragma once

#include "ESP8266WiFi.h"

namespace BearSSL {

class PublicKey {
 public:
  PublicKey();
  bool parse(const uint8_t* der, size_t size);
};

class WiFiClientSecure : public WiFiClient {
 public:
  void setKnownKey(const PublicKey* key, unsigned usages = 0x30);
  void setBufferSizes(int receive, int transmit);
};

}  // namespace BearSSL
