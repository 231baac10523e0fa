// A piece of text that is not ended by NUL, and a writer into a fixed buffer.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace bpu {

struct Text {
  const char* data = nullptr;
  size_t size = 0;

  bool is(const char* other) const { return strlen(other) == size && memcmp(data, other, size) == 0; }
};

// Copies text with a NUL; false (and an empty result) when it does not fit.
bool copy_text(char* out, size_t capacity, Text text);
bool copy_text(char* out, size_t capacity, const char* text);

// Decimal, digits only, no sign, no leading zeros beyond "0"; false on anything else or above max.
bool parse_decimal(Text text, uint32_t max, uint32_t& value);

// Hexadecimal of exactly size bytes, either case.
bool parse_hex(Text text, uint8_t* out, size_t size);

// Appends to a fixed buffer, always NUL-ended; remembers when something did not fit.
class TextWriter {
 public:
  TextWriter(char* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) { buffer_[0] = 0; }

  TextWriter& text(const char* s) { return bytes(s, strlen(s)); }
  TextWriter& bytes(const char* s, size_t size);
  TextWriter& character(char c) { return bytes(&c, 1); }
  TextWriter& number(uint32_t value);
  TextWriter& signed_number(int32_t value);
  TextWriter& hex(const uint8_t* data, size_t size);

  bool ok() const { return ok_; }
  size_t size() const { return size_; }
  const char* data() const { return buffer_; }

 private:
  char* buffer_;
  size_t capacity_;
  size_t size_ = 0;
  bool ok_ = true;
};

}  // namespace bpu
