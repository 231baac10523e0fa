#include "text.h"

namespace bpu {

bool copy_text(char* out, size_t capacity, Text text) {
  if (text.size >= capacity) {
    out[0] = 0;
    return false;
  }
  if (text.size > 0) memcpy(out, text.data, text.size);
  out[text.size] = 0;
  return true;
}

bool copy_text(char* out, size_t capacity, const char* text) { return copy_text(out, capacity, Text{text, strlen(text)}); }

bool parse_decimal(Text text, uint32_t max, uint32_t& value) {
  if (text.size == 0 || (text.size > 1 && text.data[0] == '0')) return false;
  uint32_t sum = 0;
  for (size_t i = 0; i < text.size; i++) {
    const char c = text.data[i];
    if (c < '0' || c > '9') return false;
    const uint32_t digit = static_cast<uint32_t>(c - '0');
    if (digit > max || sum > (max - digit) / 10) return false;
    sum = sum * 10 + digit;
  }
  value = sum;
  return true;
}

bool parse_hex(Text text, uint8_t* out, size_t size) {
  if (text.size != 2 * size) return false;
  for (size_t i = 0; i < text.size; i++) {
    const char c = text.data[i];
    uint8_t nibble;
    if (c >= '0' && c <= '9')
      nibble = static_cast<uint8_t>(c - '0');
    else if (c >= 'a' && c <= 'f')
      nibble = static_cast<uint8_t>(c - 'a' + 10);
    else if (c >= 'A' && c <= 'F')
      nibble = static_cast<uint8_t>(c - 'A' + 10);
    else
      return false;
    out[i / 2] = static_cast<uint8_t>(out[i / 2] << 4 | nibble);
  }
  return true;
}

TextWriter& TextWriter::bytes(const char* s, size_t size) {
  if (!ok_ || size >= capacity_ - size_) {
    ok_ = false;
    return *this;
  }
  memcpy(buffer_ + size_, s, size);
  size_ += size;
  buffer_[size_] = 0;
  return *this;
}

TextWriter& TextWriter::number(uint32_t value) {
  char digits[10];
  size_t at = sizeof digits;
  do {
    digits[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return bytes(digits + at, sizeof digits - at);
}

TextWriter& TextWriter::signed_number(int32_t value) {
  if (value >= 0) return number(static_cast<uint32_t>(value));
  return character('-').number(0u - static_cast<uint32_t>(value));
}

TextWriter& TextWriter::hex(const uint8_t* data, size_t size) {
  for (size_t i = 0; i < size; i++) {
    const char pair[2] = {"0123456789abcdef"[data[i] >> 4], "0123456789abcdef"[data[i] & 15]};
    bytes(pair, 2);
  }
  return *this;
}

}  // namespace bpu
