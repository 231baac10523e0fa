#include "../core/config.h"
#include "../core/crc32.h"
#include "../core/sha256.h"
#include "test.h"
#include "tests.h"

using bpu::Text;

namespace {

void decimals() {
  uint32_t v = 0;
  const auto parse = [&](const char* s, uint32_t max) { return bpu::parse_decimal(Text{s, strlen(s)}, max, v); };
  CHECK(parse("0", 10) && v == 0);
  CHECK(parse("4294967295", 0xffffffffu) && v == 0xffffffffu);
  CHECK(!parse("4294967296", 0xffffffffu));
  CHECK(!parse("99999999999", 0xffffffffu));
  CHECK(!parse("9", 4) && parse("4", 4) && v == 4);
  CHECK(!parse("", 10) && !parse("01", 10) && !parse("-1", 10) && !parse("1.5", 10) && !parse("11", 10));
}

void writer() {
  char out[8];
  bpu::TextWriter w(out, sizeof out);
  w.number(1234).text("abc");
  CHECK(w.ok() && w.size() == 7);
  w.character('x').text("");
  CHECK(!w.ok());
  CHECK_TEXT(w.data(), "1234abc");
  char number[16];
  CHECK_TEXT(bpu::TextWriter(number, sizeof number).signed_number(-2147483647 - 1).data(), "-2147483648");
  char small[3];
  CHECK(!bpu::copy_text(small, sizeof small, "abc"));
  CHECK_TEXT(small, "");
}

void hex() {
  uint8_t out[2];
  CHECK(bpu::parse_hex(Text{"aF09", 4}, out, 2) && out[0] == 0xaf && out[1] == 9);
  CHECK(!bpu::parse_hex(Text{"aF0", 3}, out, 2));
  CHECK(!bpu::parse_hex(Text{"aF0g", 4}, out, 2));
}

// Published examples of both functions.
void digests() {
  CHECK(bpu::crc32("123456789", 9) == 0xcbf43926u);
  CHECK(bpu::crc32_more(bpu::crc32("1234", 4), "56789", 5) == 0xcbf43926u);
  char text[65];
  uint8_t digest[32];
  bpu::Sha256 sha;
  sha.add("abc", 3);
  sha.finish(digest);
  CHECK_TEXT(bpu::TextWriter(text, sizeof text).hex(digest, 32).data(),
             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  sha.reset();
  for (int i = 0; i < 1000; i++) sha.add("aaaaaaaaaa", 10);
  sha.finish(digest);
  CHECK_TEXT(bpu::TextWriter(text, sizeof text).hex(digest, 32).data(),
             "27dd1f61b867b6a0f6e9d8a41c43231de52107e53ae424de8f847b821db4b711");
}

}  // namespace

void test_text() {
  decimals();
  writer();
  hex();
  digests();
}
