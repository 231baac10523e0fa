#include "test.h"

#include "port.h"

namespace test {

namespace {
uint32_t failed = 0;
char where[160] = "";
}  // namespace

void print(const char* text) { port_write(text, strlen(text)); }

void print(uint32_t number) {
  char text[12];
  bpu::TextWriter(text, sizeof text).number(number);
  print(text);
}

void context(const char* text) { bpu::TextWriter(where, sizeof where).text(text); }

void context(const char* text, uint32_t number) {
  bpu::TextWriter(where, sizeof where).text(text).character(' ').number(number);
}

void fail(const char* file, int line, const char* what) {
  failed++;
  if (failed > 20) return;
  print(file);
  print(":");
  print(static_cast<uint32_t>(line));
  print(": [");
  print(where);
  print("] ");
  print(what);
  print("\n");
}

uint32_t failures() { return failed; }

}  // namespace test
