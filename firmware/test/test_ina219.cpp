#include "../core/ina219.h"
#include "../simhw/board.h"
#include "test.h"
#include "tests.h"

void test_ina219() {
  simhw::Board board;
  board.switch_on_before_start(1);
  board.caddy(1).draw_ma = 1234;
  board.advance(1000);
  bpu::Ina219 monitor(board, bpu::kIna219Address[1]);
  int16_t ma = 0;
  uint16_t mv = 0;
  CHECK(monitor.sample(ma, mv) && ma == 1234 && mv == 5080);
  board.caddy(1).draw_ma = -20;
  CHECK(monitor.sample(ma, mv) && ma == -20);
  // A monitor that lost its supply has forgotten its range: that sample does not count, the next does.
  board.power_loss();
  board.switch_on_before_start(1);
  CHECK(!monitor.sample(ma, mv));
  CHECK(monitor.sample(ma, mv));
  bpu::Ina219 nobody(board, 0x50);
  CHECK(!nobody.sample(ma, mv));
  // The bus is lost in the middle.
  for (uint32_t cut = 0; cut < 7; cut++) {
    bpu::Ina219 other(board, bpu::kIna219Address[1]);
    board.cut_after(cut);
    CHECK(!other.sample(ma, mv));
    board.revive();
    CHECK(other.sample(ma, mv));
  }

  bpu::EnergyCounter energy;
  for (int s = 0; s < 3600; s++) energy.add(600, 5000, 1000);  // 3 W for an hour
  CHECK(energy.milliwatt_hours() == 3000);
  energy.add(-600, 5000, 1000);
  CHECK(energy.milliwatt_hours() == 3000);
  energy.add(8000, 5200, 3600000);
  CHECK(energy.milliwatt_hours() == 3000 + 41600);
}
