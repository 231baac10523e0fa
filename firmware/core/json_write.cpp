#include "json_write.h"

namespace bpu {

void JsonWriter::name(const char* key) {
  if (!first_) out_.character(',');
  first_ = false;
  out_.character('"').text(key).text("\":");
}

JsonWriter& JsonWriter::string(const char* key, Text value) {
  name(key);
  out_.character('"');
  for (size_t i = 0; i < value.size; i++) {
    const uint8_t c = static_cast<uint8_t>(value.data[i]);
    if (c == '"' || c == '\\') {
      out_.character('\\').character(static_cast<char>(c));
    } else if (c < 0x20) {
      out_.text("\\u00").hex(&c, 1);
    } else {
      out_.character(static_cast<char>(c));
    }
  }
  out_.character('"');
  return *this;
}

JsonWriter& JsonWriter::number(const char* key, uint32_t value) {
  name(key);
  out_.number(value);
  return *this;
}

JsonWriter& JsonWriter::signed_number(const char* key, int32_t value) {
  name(key);
  out_.signed_number(value);
  return *this;
}

JsonWriter& JsonWriter::boolean(const char* key, bool value) {
  name(key);
  out_.text(value ? "true" : "false");
  return *this;
}

JsonWriter& JsonWriter::null(const char* key) {
  name(key);
  out_.text("null");
  return *this;
}

JsonWriter& JsonWriter::hex(const char* key, const uint8_t* data, size_t size) {
  name(key);
  out_.character('"').hex(data, size).character('"');
  return *this;
}

bool JsonWriter::end() {
  out_.character('}');
  return out_.ok();
}

}  // namespace bpu
