#include "json_read.h"

namespace bpu {

namespace {

constexpr int kMaxDepth = 4;

// Steps over JSON text. Every method leaves the cursor behind what it accepted, or returns false.
class Scanner {
 public:
  Scanner(const char* at, const char* end) : at_(at), end_(end) {}

  const char* at() const { return at_; }
  bool done() const { return at_ == end_; }

  void space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) at_++;
  }

  bool take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    at_++;
    return true;
  }

  bool value(int depth) {
    if (at_ == end_) return false;
    switch (*at_) {
      case '{': return members(depth);
      case '[': return elements(depth);
      case '"': return string(nullptr);
      case 't': return word("true");
      case 'f': return word("false");
      case 'n': return word("null");
      default: return number();
    }
  }

  // One string with its quotes; its value goes to out when given.
  bool string(TextWriter* out) {
    if (!take('"')) return false;
    while (at_ < end_) {
      const uint8_t c = static_cast<uint8_t>(*at_);
      if (c == '"') {
        at_++;
        return true;
      }
      if (c < 0x20) return false;
      if (c == '\\') {
        if (!escape(out)) return false;
      } else if (c < 0x80) {
        if (out) out->character(*at_);
        at_++;
      } else if (!utf8(out)) {
        return false;
      }
    }
    return false;
  }

 private:
  bool word(const char* expected) {
    for (; *expected; expected++)
      if (!take(*expected)) return false;
    return true;
  }

  bool digits() {
    const char* start = at_;
    while (at_ < end_ && *at_ >= '0' && *at_ <= '9') at_++;
    return at_ > start;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!digits()) return false;
    }
    return true;
  }

  bool members(int depth) {
    if (depth >= kMaxDepth || !take('{')) return false;
    space();
    if (take('}')) return true;
    do {
      space();
      if (!string(nullptr)) return false;
      space();
      if (!take(':')) return false;
      space();
      if (!value(depth + 1)) return false;
      space();
    } while (take(','));
    return take('}');
  }

  bool elements(int depth) {
    if (depth >= kMaxDepth || !take('[')) return false;
    space();
    if (take(']')) return true;
    do {
      space();
      if (!value(depth + 1)) return false;
      space();
    } while (take(','));
    return take(']');
  }

  bool hex4(uint32_t& code) {
    if (end_ - at_ < 4) return false;
    uint8_t bytes[2] = {};
    if (!parse_hex(Text{at_, 4}, bytes, 2)) return false;
    at_ += 4;
    code = static_cast<uint32_t>(bytes[0] << 8 | bytes[1]);
    return true;
  }

  bool escape(TextWriter* out) {
    at_++;
    if (at_ == end_) return false;
    const char c = *at_++;
    char plain;
    switch (c) {
      case '"': case '\\': case '/': plain = c; break;
      case 'b': plain = '\b'; break;
      case 'f': plain = '\f'; break;
      case 'n': plain = '\n'; break;
      case 'r': plain = '\r'; break;
      case 't': plain = '\t'; break;
      case 'u': return unicode(out);
      default: return false;
    }
    if (out) out->character(plain);
    return true;
  }

  bool unicode(TextWriter* out) {
    uint32_t code = 0;
    if (!hex4(code)) return false;
    if (code >= 0xdc00 && code <= 0xdfff) return false;
    if (code >= 0xd800 && code <= 0xdbff) {
      uint32_t low = 0;
      if (!take('\\') || !take('u') || !hex4(low) || low < 0xdc00 || low > 0xdfff) return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (out) put_utf8(*out, code);
    return true;
  }

  static void put_utf8(TextWriter& out, uint32_t code) {
    const auto tail = [&](int shift) { out.character(static_cast<char>(0x80 | ((code >> shift) & 0x3f))); };
    if (code < 0x80) {
      out.character(static_cast<char>(code));
    } else if (code < 0x800) {
      out.character(static_cast<char>(0xc0 | code >> 6));
      tail(0);
    } else if (code < 0x10000) {
      out.character(static_cast<char>(0xe0 | code >> 12));
      tail(6);
      tail(0);
    } else {
      out.character(static_cast<char>(0xf0 | code >> 18));
      tail(12);
      tail(6);
      tail(0);
    }
  }

  // One multi-byte character: no overlong forms, no surrogates, nothing above U+10FFFF.
  bool utf8(TextWriter* out) {
    const uint8_t lead = static_cast<uint8_t>(*at_);
    int more;
    uint8_t low = 0x80, high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
      more = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    if (end_ - at_ <= more) return false;
    for (int i = 1; i <= more; i++) {
      const uint8_t c = static_cast<uint8_t>(at_[i]);
      if (c < low || c > high) return false;
      low = 0x80;
      high = 0xbf;
    }
    if (out) out->bytes(at_, static_cast<size_t>(more) + 1);
    at_ += more + 1;
    return true;
  }

  const char* at_;
  const char* end_;
};

}  // namespace

bool JsonObject::parse(const char* text, size_t size) {
  text_ = Text{};
  Scanner scan(text, text + size);
  scan.space();
  if (scan.done() || *scan.at() != '{' || !scan.value(0)) return false;
  scan.space();
  if (!scan.done()) return false;
  text_ = Text{text, size};
  return true;
}

// The text was accepted by parse, so what the scanner returns needs no second check here.
Text JsonObject::find(const char* key) const {
  Text found;
  Scanner scan(text_.data, text_.data + text_.size);
  scan.space();
  if (!scan.take('{')) return found;
  scan.space();
  while (!scan.done() && *scan.at() == '"') {
    char name[24];
    TextWriter writer(name, sizeof name);
    scan.string(&writer);
    scan.space();
    scan.take(':');
    scan.space();
    const char* start = scan.at();
    scan.value(1);
    if (writer.ok() && strlen(key) == writer.size() && memcmp(key, name, writer.size()) == 0)
      found = Text{start, static_cast<size_t>(scan.at() - start)};
    scan.space();
    scan.take(',');
    scan.space();
  }
  return found.size > 0 && !found.is("null") ? found : Text{};
}

bool JsonObject::has(const char* key) const { return find(key).size > 0; }

Field JsonObject::string(const char* key, char* out, size_t capacity) const {
  out[0] = 0;
  const Text raw = find(key);
  if (raw.size == 0) return Field::Absent;
  if (raw.data[0] != '"') return Field::Wrong;
  TextWriter writer(out, capacity);
  Scanner scan(raw.data, raw.data + raw.size);
  scan.string(&writer);
  if (!writer.ok() || strlen(out) != writer.size()) {
    out[0] = 0;
    return Field::Wrong;
  }
  return Field::Ok;
}

Field JsonObject::number(const char* key, uint32_t& out) const {
  const Text raw = find(key);
  if (raw.size == 0) return Field::Absent;
  return parse_decimal(raw, 0xffffffffu, out) ? Field::Ok : Field::Wrong;
}

Field JsonObject::boolean(const char* key, bool& out) const {
  const Text raw = find(key);
  if (raw.size == 0) return Field::Absent;
  if (!raw.is("true") && !raw.is("false")) return Field::Wrong;
  out = raw.is("true");
  return Field::Ok;
}

}  // namespace bpu
