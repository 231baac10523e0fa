// Reads the top level of one JSON object (RFC 8259) in place, without memory of its own.
#pragma once

#include "text.h"

namespace bpu {

enum class Field : uint8_t { Absent, Ok, Wrong };

class JsonObject {
 public:
  // The text must be exactly one valid object: strict grammar, valid UTF-8, at most 4 levels. The text must
  // outlive the object. False otherwise.
  bool parse(const char* text, size_t size);

  bool has(const char* key) const;
  // Wrong: another type, does not fit, holds a NUL (strings), is no whole number from 0 to 2^32-1 (number).
  // Of equal keys the last counts. null counts as absent.
  Field string(const char* key, char* out, size_t capacity) const;
  Field number(const char* key, uint32_t& out) const;
  Field boolean(const char* key, bool& out) const;

 private:
  Text find(const char* key) const;

  Text text_;
};

}  // namespace bpu
