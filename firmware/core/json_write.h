// Writes one flat JSON object into a fixed buffer.
#pragma once

#include "text.h"

namespace bpu {

class JsonWriter {
 public:
  JsonWriter(char* buffer, size_t capacity) : out_(buffer, capacity) { out_.character('{'); }

  JsonWriter& string(const char* key, Text value);
  JsonWriter& string(const char* key, const char* value) { return string(key, Text{value, strlen(value)}); }
  JsonWriter& number(const char* key, uint32_t value);
  JsonWriter& signed_number(const char* key, int32_t value);
  JsonWriter& boolean(const char* key, bool value);
  JsonWriter& null(const char* key);
  JsonWriter& hex(const char* key, const uint8_t* data, size_t size);

  // Ends the object; false when it did not fit.
  bool end();
  size_t size() const { return out_.size(); }

 private:
  void name(const char* key);

  TextWriter out_;
  bool first_ = true;
};

}  // namespace bpu
