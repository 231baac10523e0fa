#include "../core/json_read.h"
#include "../core/json_write.h"
#include "test.h"
#include "tests.h"

using bpu::Field;
using bpu::JsonObject;

namespace {

bool valid(const char* text) { return JsonObject().parse(text, strlen(text)); }

void grammar() {
  const char* good[] = {"{}", " {\"a\":1}\r\n\t", "{\"a\":-0.5e+10,\"b\":[1,{\"c\":null}],\"d\":true,\"e\":false}",
                        "{\"\\u00e9\\ud83d\\ude00\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "{\"a\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}",
                        "{\"a\":[[[]]]}", "{\"a\":[],\"b\":{}}", "{\"a\":0}", "{\"a\":1E-2}"};
  for (const char* text : good) {
    test::context(text);
    CHECK(valid(text));
  }
  const char* bad[] = {"", "{", "}", "[]", "null", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\":01}", "{\"a\":+1}",
                       "{\"a\":1.}", "{\"a\":.5}", "{\"a\":1e}", "{\"a\":NaN}", "{\"a\":tru}", "{\"a\":\"\x01\"}",
                       "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\"}",
                       "{\"a\":\"\\ud800\\u0041\"}", "{\"a\":\"\xff\"}", "{\"a\":\"\xc0\x80\"}", "{\"a\":\"\xe0\x80\x80\"}",
                       "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\xf4\x90\x80\x80\"}", "{\"a\":\"\xf0\x80\x80\x80\"}",
                       "{\"a\":\"\xc3\"}", "{\"a\":\"\xc3\x28\"}", "{\"a\":1} x", "{\"a\":1}{}", "{\"a\":[[[[]]]]}",
                       "{\"a\":\"", "{\"a\":\"\\", "{\"a\":[1,]}", "{\"a\":[1 2]}", "{\"a\" 1}", "{1:2}", "{\"a\":-}"};
  for (const char* text : bad) {
    test::context(text);
    CHECK(!valid(text));
  }
}

// No prefix of a valid object is one, and none is read beyond its end.
void prefixes() {
  const char text[] = "{\"id\":\"a\\u0031\",\"n\":[1,2.5e3,true,null],\"o\":{\"x\":\"\xf0\x9f\x98\x80\"}}";
  char copy[sizeof text];
  for (size_t n = 0; n < sizeof text - 1; n++) {
    test::context("prefix", static_cast<uint32_t>(n));
    // At the end of the array, so that the sanitizer sees a read too far.
    char* at = copy + sizeof copy - n;
    memcpy(at, text, n);
    CHECK(!JsonObject().parse(at, n));
  }
}

void fields() {
  const char text[] =
      "{\"s\":\"a\\u0062\\u00e9\\u20ac\\ud83d\\ude00\",\"n\":4294967295,\"big\":4294967296,\"neg\":-1,\"frac\":1.0,"
      "\"b\":true,\"z\":null,\"twice\":1,\"twice\":2,\"nul\":\"a\\u0000b\",\"esc\\u0061pe\":3,"
      "\"a very long key that fits nowhere\":1,\"o\":{\"n\":9}}";
  JsonObject json;
  CHECK(json.parse(text, strlen(text)));
  char s[32];
  uint32_t n = 0;
  bool b = false;
  CHECK(json.string("s", s, sizeof s) == Field::Ok);
  CHECK_TEXT(s, "ab\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(json.string("s", s, 4) == Field::Wrong && s[0] == 0);
  CHECK(json.string("n", s, sizeof s) == Field::Wrong);
  CHECK(json.string("nul", s, sizeof s) == Field::Wrong);
  CHECK(json.string("none", s, sizeof s) == Field::Absent);
  CHECK(json.number("n", n) == Field::Ok && n == 0xffffffffu);
  CHECK(json.number("big", n) == Field::Wrong && json.number("neg", n) == Field::Wrong);
  CHECK(json.number("frac", n) == Field::Wrong && json.number("s", n) == Field::Wrong);
  CHECK(json.number("twice", n) == Field::Ok && n == 2);
  CHECK(json.number("escape", n) == Field::Ok && n == 3);
  CHECK(json.number("z", n) == Field::Absent && !json.has("z"));
  CHECK(json.boolean("b", b) == Field::Ok && b);
  CHECK(json.boolean("n", b) == Field::Wrong && json.boolean("none", b) == Field::Absent);
  CHECK(!json.has("x") && json.has("o"));
  CHECK(!JsonObject().has("a"));
}

void writing() {
  char out[80];
  bpu::JsonWriter w(out, sizeof out);
  const uint8_t bytes[] = {0, 255};
  w.string("a", "q\"\\\x01").number("n", 7).signed_number("m", -7).boolean("b", true).null("z").hex("h", bytes, 2);
  CHECK(w.end());
  CHECK_TEXT(out, "{\"a\":\"q\\\"\\\\\\u0001\",\"n\":7,\"m\":-7,\"b\":true,\"z\":null,\"h\":\"00ff\"}");
  CHECK(valid(out));
  char small[8];
  bpu::JsonWriter s(small, sizeof small);
  s.number("long", 1);
  CHECK(!s.end());
}

}  // namespace

void test_json() {
  grammar();
  prefixes();
  fields();
  writing();
}
