// A very small test kit that runs on Linux and on the bare simulator alike: no heap, no library.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../core/text.h"

namespace test {

void print(const char* text);
void print(uint32_t number);
// Counts a failure and tells where.
void fail(const char* file, int line, const char* what);
// Shown with every failure until changed: which case, which cut.
void context(const char* text);
void context(const char* text, uint32_t number);
uint32_t failures();

// A repeatable source of random numbers.
class Random {
 public:
  explicit Random(uint32_t seed) : state_(seed * 2654435761u + 1) {}
  uint32_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }
  uint32_t below(uint32_t n) { return next() % n; }

 private:
  uint32_t state_;
};

}  // namespace test

#define CHECK(condition) \
  do { \
    if (!(condition)) ::test::fail(__FILE__, __LINE__, #condition); \
  } while (0)

#define CHECK_TEXT(got, want) \
  do { \
    if (strcmp((got), (want)) != 0) { \
      ::test::print("got  "); \
      ::test::print(got); \
      ::test::print("\nwant "); \
      ::test::print(want); \
      ::test::print("\n"); \
      ::test::fail(__FILE__, __LINE__, #got " is " #want); \
    } \
  } while (0)
