#include "../core/rtc_image.h"
#include "../core/shiftchain.h"
#include "../simhw/board.h"
#include "test.h"
#include "tests.h"

namespace {

using bpu::SlotImage;

// Each unit gets its own byte whatever the chain's length, and outputs change at the latch only.
void order() {
  for (uint8_t units = 1; units <= 4; units++) {
    simhw::Board board(units);
    bpu::ShiftChain chain(board);
    for (uint8_t i = 0; i < 4; i++) board.caddy(i).type = static_cast<uint8_t>(i + 1);
    const uint8_t outputs[4] = {0x02, 0x10, 0x20, 0x12};
    uint8_t inputs[4];
    chain.transfer(outputs, inputs);
    CHECK(bpu::ShiftChain::length(inputs) == units);
    for (uint8_t i = 0; i < 4; i++) {
      if (i < units) {
        CHECK((inputs[i] & bpu::in::kTypeMask) == i + 1);
        CHECK(board.caddy(i).outputs == 0);
      } else {
        CHECK(inputs[i] == 0xff);
      }
    }
    chain.latch();
    for (uint8_t i = 0; i < units; i++) CHECK(board.caddy(i).outputs == outputs[i]);
  }
}

SlotImage image(uint8_t outputs, uint8_t flags, uint16_t wait_s) {
  SlotImage one;
  one.outputs = outputs;
  one.flags = flags;
  one.wait_s = wait_s;
  return one;
}

bool same(const SlotImage* a, const SlotImage* b) {
  for (int i = 0; i < 4; i++)
    if (a[i].outputs != b[i].outputs || a[i].flags != b[i].flags || a[i].wait_s != b[i].wait_s) return false;
  return true;
}

void rtc() {
  simhw::Board board;
  SlotImage loaded[4];
  CHECK(!bpu::RtcImage(board).load(loaded));  // what memory holds after power-up is no image

  const SlotImage a[4] = {image(1, 2, 90), image(3, 4, 600), image(0xff, 0xff, 0xffff), image(0, 0, 0)};
  const SlotImage b[4] = {image(9, 8, 7), image(6, 5, 4), image(3, 2, 1), image(1, 1, 1)};
  bpu::RtcImage first(board);
  first.save(a);
  CHECK(bpu::RtcImage(board).load(loaded) && same(loaded, a));
  const uint32_t operations = board.operations();
  first.save(a);
  CHECK(board.operations() == operations);  // nothing new, nothing written

  // Cut between any two words: what was there before, or what was to come.
  for (uint32_t cut = 0; cut <= 6; cut++) {
    test::context("cut", cut);
    bpu::RtcImage writer(board);
    writer.load(loaded);
    writer.save(a);
    board.cut_after(cut);
    writer.save(b);
    const bool whole = board.alive_mcu();
    board.revive();
    CHECK(bpu::RtcImage(board).load(loaded) && same(loaded, whole ? b : a));
    bpu::RtcImage next(board);
    next.load(loaded);
    next.save(b);
    next.save(a);
  }

  // The sequence number wraps.
  bpu::RtcImage many(board);
  many.load(loaded);
  for (uint32_t i = 0; i < 70000; i++) {
    const SlotImage c[4] = {image(static_cast<uint8_t>(i), 0, 0), a[1], a[2], a[3]};
    many.save(c);
    if (i % 1000 == 0) CHECK(bpu::RtcImage(board).load(loaded) && same(loaded, c));
  }
  // One bit wrong in both copies.
  board.write(uint8_t{1}, board.read(uint8_t{1}) ^ 4);
  board.write(uint8_t{7}, board.read(uint8_t{7}) ^ 4);
  CHECK(!bpu::RtcImage(board).load(loaded));
}

}  // namespace

void test_shiftchain() {
  order();
  rtc();
}
