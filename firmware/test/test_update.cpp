// Updates on a simulated flash: fetch, verify, trial, fall-back, and a cut at every write.
#include "../core/version.h"
#include "port.h"
#include "rig.h"
#include "tests.h"

using bpu::UpdateTrailer;
using test::Rig;

namespace {

constexpr uint32_t kImage = 9000;
using Head = simhw::NorFlash::ImageHead;

// Builds an image for flash: a head with its checksum, then filler.
void build_image(uint8_t* out, uint32_t version, uint32_t size = kImage) {
  for (uint32_t i = sizeof(Head); i < size; i++) out[i] = static_cast<uint8_t>(i * 7 + version);
  const Head head = {simhw::NorFlash::kImageMagic, version, size,
                     bpu::crc32(out + sizeof(Head), size - sizeof(Head))};
  memcpy(out, &head, sizeof head);
}

struct File {
  uint8_t bytes[kImage + bpu::kTail];
  uint8_t digest[32];

  File(uint32_t version, uint32_t minimum = 0, uint32_t hardware = bpu::kHardwareId) {
    build_image(bytes, version);
    const UpdateTrailer trailer = {bpu::kTrailerMagic, hardware, version, minimum};
    memcpy(bytes + kImage, &trailer, sizeof trailer);
    sign();
  }

  void sign() {
    bpu::Sha256 sha;
    sha.add(bytes, kImage + sizeof(UpdateTrailer));
    sha.finish(digest);
    for (uint32_t i = 0; i < 8; i++) memcpy(bytes + kImage + sizeof(UpdateTrailer) + 32 * i, digest, 32);
    const uint32_t length = bpu::kSignature;
    memcpy(bytes + sizeof bytes - 4, &length, 4);
    digest_whole();
  }

  void digest_whole() {
    bpu::Sha256 sha;
    sha.add(bytes, sizeof bytes);
    sha.finish(digest);
  }
};

void install_running(Rig& rig, uint32_t version) {
  static uint8_t image[kImage];
  memset(rig.flash.memory(), 0xff, simhw::NorFlash::kSize);
  build_image(image, version);
  rig.flash.fill(0, image, sizeof image);
}

void order(Rig& rig, const File& file, const char* more = "", const char* url = "http://files.example:8080/fw/bpu.bin") {
  static uint8_t served[sizeof file.bytes];
  memcpy(served, file.bytes, sizeof served);
  rig.server.file = served;
  rig.server.size = sizeof served;
  char text[300], hex[65];
  bpu::TextWriter(hex, sizeof hex).hex(file.digest, 32);
  bpu::TextWriter(text, sizeof text).text(",\"url\":\"").text(url).text("\",\"sha256\":\"").text(hex).character('"').text(more);
  rig.command(0, "o1", "ota", text);
}

struct Bench : Rig {
  Bench() {
    install_running(*this, 10000);
    board.switch_on_before_start(1);
    board.clear_counts();
    start();
    CHECK(run_until_online());
  }
  bool power_untouched() { return board.caddy(1).power && board.caddy(1).power_edges == 0; }
};

void good() {
  Bench rig;
  order(rig, File(10100, 10050));
  rig.run(5000);
  CHECK(rig.acked(0, "o1", "accepted"));
  CHECK(strncmp(rig.server.asked, "GET /fw/bpu.bin HTTP/1.0\r\nHost: files.example:8080\r\n", 52) == 0);
  CHECK(rig.flash.running_version() == 10100 && rig.flash.whole(0) && rig.flash.whole(bpu::flash_map::kBackup));
  CHECK(rig.app().boot() == 2 && rig.app().update().on_trial());
  CHECK_TEXT(rig.app().update().report(), "trial");
  CHECK(rig.run_until_online());
  order(rig, File(10200));  // the image before must be kept until this one is good
  rig.run(2000);
  CHECK(rig.acked(0, "o1", "busy"));
  rig.run(62000);
  CHECK_TEXT(rig.app().update().report(), "done");
  CHECK(rig.app().update().minimum_version() == 10050 && rig.power_untouched());
  const test::Message* info = rig.newest("info");
  CHECK(info && strstr(info->payload, "\"fw\":\"1.1.0\"") && strstr(info->payload, "\"update\":\"done\""));
  rig.reset();
  CHECK(!rig.app().update().on_trial());
  // Older: only by force, and never below the minimum.
  CHECK(rig.run_until_online());
  order(rig, File(10060));
  rig.run(3000);
  CHECK_TEXT(rig.app().update().report(), "older than what runs");
  rig.broker.clear_log();
  rig.command(0, "x", "resync");
  rig.run(500);
  char id[4] = "p0";
  static const File older(10060), oldest(10049);
  const auto force = [&](const File& file) {
    id[1]++;
    rig.server.file = file.bytes;
    char text[300], hex[65];
    bpu::TextWriter(hex, sizeof hex).hex(file.digest, 32);
    bpu::TextWriter(text, sizeof text).text(",\"force\":true,\"url\":\"http://h/\",\"sha256\":\"").text(hex).character('"');
    rig.command(0, id, "ota", text);
    rig.run(5000);
  };
  force(oldest);
  CHECK_TEXT(rig.app().update().report(), "below the minimum version");
  force(older);
  CHECK(rig.flash.running_version() == 10060 && rig.power_untouched());
}

void refused() {
  struct Case {
    const char* report;
    void (*spoil)(Rig&, File&);
  };
  static const Case kCases[] = {
      {"wrong sha256", [](Rig&, File& f) { f.bytes[100] ^= 1; }},
      {"bad signature", [](Rig&, File& f) { f.bytes[100] ^= 1; f.digest_whole(); }},
      {"bad signature", [](Rig&, File& f) { f.bytes[kImage + 20] ^= 1; f.digest_whole(); }},
      {"bad signature", [](Rig&, File& f) { f.bytes[sizeof f.bytes - 1] = 1; f.digest_whole(); }},
      {"not for this hardware", [](Rig&, File& f) { f = File(10100, 0, 7); }},
      {"not for this hardware", [](Rig&, File& f) { f.bytes[kImage] = 0; f.sign(); }},
      {"cannot connect", [](Rig& r, File&) { r.server.refuse = true; }},
      {"no answer", [](Rig& r, File&) { r.server.slow = true; }},
      {"no answer", [](Rig& r, File&) { r.server.silent = true; }},
      {"connection lost", [](Rig& r, File&) { r.server.lose_at = 5000; }},
      {"the server has no such file", [](Rig& r, File&) { r.server.head = "HTTP/1.1 404 Not Found\r\nContent-Length: "; }},
      {"the server has no such file", [](Rig& r, File&) { r.server.raw_head = "\r\n\r\n"; }},
      {"wrong size", [](Rig& r, File&) { r.server.raw_head = "HTTP/1.1 200 OK\r\ncontent-length: 4294967296\r\n\r\n"; }},
      {"wrong size", [](Rig& r, File&) { r.server.raw_head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"; }},
      {"wrong size", [](Rig& r, File&) { r.server.raw_head = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n"; }},
      {"flash", [](Rig& r, File&) { r.flash.broken = true; }},
      {"backup does not read back", [](Rig& r, File&) { r.flash.worn = true; }},
  };
  for (const Case& one : kCases) {
    Bench rig;
    static File file(10100);
    file = File(10100);
    one.spoil(rig, file);
    order(rig, file);
    rig.run(40000);
    test::context("update refused", static_cast<uint32_t>(&one - kCases));
    CHECK_TEXT(rig.app().update().report(), one.report);
    CHECK(rig.app().boot() == 1 && rig.flash.running_version() == 10000 && !rig.flash.ordered());
    CHECK(rig.power_untouched() && rig.app().mqtt().up());
  }
  // A running image that is too large for its place is not overwritten.
  Bench rig;
  const Head head = {simhw::NorFlash::kImageMagic, 10000, bpu::flash_map::kMaxImage + 1, 0};
  rig.flash.fill(0, &head, sizeof head);
  order(rig, File(10100));
  rig.run(2000);
  CHECK_TEXT(rig.app().update().report(), "running image too large");
}

void addresses() {
  const char* bad[] = {"https://h/f", "h/f", "http://", "http:///f", "http://h:0/f", "http://h:99999/f", "http://h:/f",
                       "http://h/a b", "http://h/\\u0001", "http://h\\u00e9/"};
  for (const char* url : bad) {
    char text[200];
    bpu::TextWriter(text, sizeof text).text("{\"url\":\"").text(url).text(
        "\",\"sha256\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}");
    bpu::JsonObject json;
    bpu::UpdateOrder update;
    test::context(url);
    CHECK(json.parse(text, strlen(text)) && !update.parse(json));
  }
  const char good[] = "{\"url\":\"http://10.0.0.1\",\"force\":true,\"sha256\":"
                      "\"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\"}";
  bpu::JsonObject json;
  bpu::UpdateOrder update;
  CHECK(json.parse(good, sizeof good - 1) && update.parse(json) && update.port == 80 && update.force);
  CHECK_TEXT(update.host, "10.0.0.1");
  CHECK_TEXT(update.path, "/");
  const char wrong[] = "{\"url\":\"http://10.0.0.1\",\"force\":1,\"sha256\":\"\"}";
  CHECK(json.parse(wrong, sizeof wrong - 1) && !update.parse(json));
}

// The new image runs but never reaches the broker: after three boots the old one is back.
void fall_back() {
  Bench rig;
  order(rig, File(10100, 10100));
  rig.run(3000);
  CHECK(rig.flash.running_version() == 10100);
  rig.broker.refuse(true);
  rig.broker.drop_client();
  for (int boots = 0; boots < 3; boots++) {
    CHECK(rig.flash.running_version() == 10100 && rig.app().update().on_trial());
    rig.run(605000, 50);  // ten minutes without health end a trial boot
  }
  rig.run(5000);
  CHECK(rig.flash.running_version() == 10000 && rig.flash.whole(0));
  CHECK_TEXT(rig.app().update().report(), "rolled back");
  CHECK(rig.app().update().minimum_version() == 0 && rig.power_untouched());
  rig.broker.refuse(false);
  CHECK(rig.run_until_online(95000));
  // The old image without a trial never restarts for want of a broker.
  const uint32_t boot = rig.app().boot();
  rig.broker.refuse(true);
  rig.broker.drop_client();
  rig.run(3600000, 50);
  CHECK(rig.app().boot() == boot);
}

// It dies early, again and again, by the watchdog or with a loss of power.
void dies_early() {
  for (int kind = 0; kind < 2; kind++) {
    const bool power = kind == 1;
    Rig rig;
    install_running(rig, 10000);
    rig.start();
    CHECK(rig.run_until_online());
    order(rig, File(10100));
    rig.run(3000);
    CHECK(rig.flash.running_version() == 10100);
    for (int i = 0; i < 3; i++) {
      if (power)
        rig.power_loss();
      else
        rig.reset();
      rig.run(200);
    }
    rig.run(3000);
    CHECK(rig.flash.running_version() == 10000 && rig.run_until_online());
  }
}

// The image before has rotted: there is no way back, so the new one stays, and is tried no longer.
void no_way_back() {
  Bench rig;
  order(rig, File(10100));
  rig.run(3000);
  rig.flash.memory()[bpu::flash_map::kBackup + 100] ^= 1;
  rig.broker.refuse(true);
  rig.broker.drop_client();
  for (int i = 0; i < 3; i++) rig.reset();
  CHECK_TEXT(rig.app().update().report(), "no image to go back to");
  const uint32_t boot = rig.app().boot();
  rig.run(1300000, 50);
  CHECK(rig.flash.running_version() == 10100 && rig.app().boot() == boot && rig.power_untouched());
}

// Two builds of one version: what is kept is the one that ran, not the one that looks like it.
void same_version() {
  static File second(10000), third(10100);
  second.bytes[5000] ^= 0xff;
  Head head;
  memcpy(&head, second.bytes, sizeof head);
  head.crc = bpu::crc32(second.bytes + sizeof head, kImage - sizeof head);
  memcpy(second.bytes, &head, sizeof head);
  second.sign();
  Bench rig;
  order(rig, second);
  rig.run(3000);
  CHECK(rig.run_until_online());
  rig.run(62000);
  CHECK_TEXT(rig.app().update().report(), "done");
  order(rig, third);
  rig.run(3000);
  CHECK(rig.flash.running_version() == 10100);
  CHECK(memcmp(rig.flash.memory() + bpu::flash_map::kBackup, second.bytes, kImage) == 0);
  // And it is what comes back.
  for (int i = 0; i < 3; i++) {
    rig.reset();
    rig.run(200);
  }
  rig.run(3000);
  CHECK(memcmp(rig.flash.memory(), second.bytes, kImage) == 0 && rig.power_untouched());
}

// Opening the connection may block, and a pulse must not last longer for that.
void waits_for_a_pulse() {
  Bench rig;
  static const File file(10100);
  order(rig, file);
  rig.command(2, "s1", "shutdown");
  rig.run(500);
  CHECK(rig.board.caddy(1).outputs & bpu::out::kShutdownRequest);
  CHECK(rig.app().update().busy() && rig.server.asked[0] == 0);
  rig.run(5000);
  CHECK(rig.flash.running_version() == 10100 && rig.board.caddy(1).shutdown_pulses == 1);
}

}  // namespace

void test_update() {
  good();
  refused();
  addresses();
  fall_back();
  dies_early();
  no_way_back();
  same_version();
  waits_for_a_pulse();
}

namespace {

// One step of the unit; comes back from a loss of power at a write, of which it tells.
bool step_or_lose_power(Rig& rig, uint32_t ms) {
  rig.step(ms);
  if (rig.board.alive_mcu()) return false;
  rig.flash.mend();
  rig.power_loss();
  CHECK(rig.flash.whole(0));
  return true;
}

// Orders the file until it runs.
void try_until_it_runs(Rig& rig, const File& file, bool& lost) {
  for (int tries = 0; tries < 3 && rig.flash.running_version() == 10000; tries++) {
    CHECK(rig.run_until_online());
    rig.broker.clear_log();
    order(rig, file);
    for (int i = 0; i < 600 && rig.flash.running_version() == 10000; i++) {
      if (!step_or_lose_power(rig, 10)) continue;
      lost = true;
      break;
    }
  }
  CHECK(rig.flash.running_version() == 10100);
}

// Power is lost at each single write from the order to the end of the trial. good: the new image proves itself;
// else it never reaches the broker, and the one before is back after three boots.
void cut_at_every_write(bool good) {
  static const File file(10100, 10100);
  uint32_t cuts = 0;
  for (bool lost = true; lost; cuts += port_stride()) {
    test::context(good ? "write, good image" : "write, bad image", cuts);
    lost = false;
    Rig rig;
    install_running(rig, 10000);
    rig.start();
    CHECK(rig.run_until_online());
    rig.board.cut_at_write(cuts);
    try_until_it_runs(rig, file, lost);
    if (!good) {
      rig.broker.refuse(true);
      rig.broker.drop_client();
      for (int boots = 0; boots < 4 && rig.flash.running_version() == 10100; boots++) {
        for (int i = 0; i < 20; i++) lost = step_or_lose_power(rig, 10) || lost;
        if (rig.flash.running_version() == 10100) rig.reset();
      }
      rig.broker.refuse(false);
    }
    for (int i = 0; i < 1500; i++) lost = step_or_lose_power(rig, 100) || lost;
    CHECK(rig.run_until_online());
    CHECK(rig.flash.running_version() == (good ? 10100u : 10000u) && rig.flash.whole(0));
    CHECK(rig.flash.whole(bpu::flash_map::kBackup) && !rig.app().update().on_trial());
    CHECK(rig.app().update().minimum_version() == (good ? 10100u : 0u));
  }
  CHECK(cuts > 80);
}

}  // namespace

// Power is lost at every operation of a whole update. Whatever is found afterwards starts and is whole, old or new,
// and the old one can still be had until the new one is good. The seconds in which the boot loader copies are the
// only ones in which this cannot be: there the image is torn, and the cable is needed.
void test_update_cut() {
  static const File file(10100);
  uint32_t ends[2] = {}, cuts = 0;
  for (uint32_t cut = 0;; cut += 97 * port_stride()) {
    Rig rig;
    install_running(rig, 10000);
    rig.start();
    CHECK(rig.run_until_online());
    order(rig, file);
    rig.board.cut_after(cut);
    uint32_t done = 0;
    while (rig.board.alive_mcu() && rig.flash.running_version() == 10000 && done < 6000) {
      rig.board.advance(10);
      rig.broker.pump();
      rig.app().tick();
      done += 10;
    }
    test::context("update cut", cut);
    if (rig.esp.restarts > 0) break;
    cuts++;
    rig.flash.mend();
    rig.power_loss();
    CHECK(rig.flash.whole(0));
    ends[rig.flash.running_version() == 10100]++;
    CHECK(rig.run_until_online());
    rig.run(1000);
    CHECK(!rig.app().update().busy());
    // It can be tried again.
    rig.broker.clear_log();
    order(rig, file);
    for (int i = 0; i < 60 && rig.flash.running_version() == 10000; i++) rig.run(100);
    CHECK(rig.flash.running_version() == 10100 && rig.flash.whole(0) && rig.flash.whole(bpu::flash_map::kBackup));
  }
  CHECK(cuts > 20 / port_stride() && ends[0] > 0);

  cut_at_every_write(true);
  cut_at_every_write(false);

  // The boot loader's copy is torn: seen, and not to be helped by the unit.
  Rig rig;
  install_running(rig, 10000);
  rig.flash.fill(bpu::flash_map::kStaging, file.bytes, kImage);
  rig.flash.order_copy(bpu::flash_map::kStaging, kImage);
  CHECK(!rig.flash.boot(1) && !rig.flash.whole(0));
}
