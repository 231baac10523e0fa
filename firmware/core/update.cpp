#include "update.h"

#include <string.h>

#include "crc32.h"
#include "text.h"
#include "version.h"

namespace bpu {

namespace {

constexpr uint32_t kTrialMagic = 0x7472696c;   // "tril"
constexpr uint32_t kBackupMagic = 0x6261636b;  // "back"

}  // namespace

bool UpdateOrder::parse(const JsonObject& json) {
  char text[232];
  char digest[65];
  force = false;
  if (json.boolean("force", force) == Field::Wrong) return false;
  if (json.string("sha256", digest, sizeof digest) != Field::Ok ||
      !parse_hex(Text{digest, strlen(digest)}, sha256, sizeof sha256))
    return false;
  if (json.string("url", text, sizeof text) != Field::Ok || strncmp(text, "http://", 7) != 0) return false;
  const char* at = text + 7;
  for (const char* c = at; *c; c++)
    if (*c <= ' ' || *c > '~') return false;
  const char* slash = strchr(at, '/');
  if (!slash) slash = at + strlen(at);
  const char* colon = static_cast<const char*>(memchr(at, ':', static_cast<size_t>(slash - at)));
  const char* host_end = colon ? colon : slash;
  uint32_t number = 80;
  if (colon && (!parse_decimal(Text{colon + 1, static_cast<size_t>(slash - colon - 1)}, 65535, number) || number == 0))
    return false;
  port = static_cast<uint16_t>(number);
  return host_end > at && copy_text(host, sizeof host, Text{at, static_cast<size_t>(host_end - at)}) &&
         copy_text(path, sizeof path, *slash ? slash : "/");
}

bool Update::load_trial(Trial& trial) {
  return hal_.storage.load("trial", &trial, sizeof trial) == static_cast<int>(sizeof trial) &&
         trial.magic == kTrialMagic && trial.checksum == crc32(&trial, offsetof(Trial, checksum));
}

void Update::clear_trial() {
  const Trial none = {};
  hal_.storage.save("trial", &none, sizeof none);
}

bool Update::load_backup(BackupRecord& record) {
  return hal_.flash.read(flash_map::kBackupRecord, &record, sizeof record) && record.magic == kBackupMagic &&
         record.checksum == crc32(&record, offsetof(BackupRecord, checksum)) && record.size <= flash_map::kMaxImage;
}

bool Update::image_at(uint32_t address, const BackupRecord& record) {
  uint32_t crc = 0;
  for (uint32_t at = 0; at < record.size; at += sizeof buffer_) {
    const uint32_t left = record.size - at;
    const uint32_t step = left < sizeof buffer_ ? left : sizeof buffer_;
    if (!hal_.flash.read(address + at, buffer_, (step + 3) & ~3u)) return false;
    crc = crc32_more(crc, buffer_, step);
  }
  return crc == record.image_crc;
}

bool Update::start(uint32_t boot) {
  boot_ = boot;
  if (hal_.storage.load("minimum", &minimum_, sizeof minimum_) != static_cast<int>(sizeof minimum_)) minimum_ = 0;
  Trial trial;
  if (!load_trial(trial)) return false;
  if (trial.version != hal_.flash.running_version()) {
    // Either the copy never began, or the old image is back.
    clear_trial();
    report_ = "rolled back";
    return false;
  }
  on_trial_ = true;
  report_ = "trial";
  BackupRecord record;
  if (boot - trial.boot <= kTrialBoots) return false;
  if (!load_backup(record) || !image_at(flash_map::kBackup, record)) {
    clear_trial();
    on_trial_ = false;
    report_ = "no image to go back to";
    return false;
  }
  hal_.flash.order_copy(flash_map::kBackup, record.size);
  restart_ = true;
  return true;
}

void Update::healthy() {
  Trial trial;
  on_trial_ = false;
  report_ = "done";
  changed_ = true;
  if (!load_trial(trial)) return;
  if (trial.minimum > minimum_) {
    minimum_ = trial.minimum;
    hal_.storage.save("minimum", &minimum_, sizeof minimum_);
  }
  clear_trial();
}

bool Update::take_restart() {
  const bool restart = restart_;
  restart_ = false;
  return restart;
}

bool Update::take_changed() {
  const bool changed = changed_;
  changed_ = false;
  return changed;
}

void Update::enter(Phase phase, const char* report) {
  phase_ = phase;
  report_ = report;
  changed_ = true;
  progress_ = true;
  position_ = 0;
  fill_ = 0;
}

void Update::fail(const char* reason) {
  hal_.http.close();
  enter(Phase::Idle, reason);
}

bool Update::begin(const UpdateOrder& order) {
  // On trial the image before is the only good one: it must not be overwritten.
  if (busy() || on_trial_) return false;
  order_ = order;
  begin_backup();
  return true;
}

void Update::begin_backup() {
  BackupRecord record;
  crc_ = 0;
  size_ = hal_.flash.running_size();
  if (size_ == 0 || size_ > flash_map::kMaxImage) return fail("running image too large");
  // Another build may have the same version and size, so the bytes decide.
  const bool kept = load_backup(record) && record.version == hal_.flash.running_version() && record.size == size_ &&
                    image_at(0, record) && image_at(flash_map::kBackup, record);
  if (kept) {
    enter(Phase::Connect, "fetch");
  } else if (hal_.flash.erase(flash_map::kBackupRecord)) {
    enter(Phase::Backup, "backup");
  } else {
    fail("flash");
  }
}

void Update::backup_sector() {
  if (!hal_.flash.erase(flash_map::kBackup + position_)) return fail("flash");
  for (uint32_t done = 0; done < Flash::kSector && position_ < size_; done += sizeof buffer_) {
    const uint32_t left = size_ - position_;
    const uint32_t step = left < sizeof buffer_ ? left : sizeof buffer_;
    memset(buffer_, 0xff, sizeof buffer_);
    if (!hal_.flash.read(position_, buffer_, step) ||
        !hal_.flash.write(flash_map::kBackup + position_, buffer_, (step + 3) & ~3u))
      return fail("flash");
    crc_ = crc32_more(crc_, buffer_, step);
    position_ += step;
  }
  if (position_ == size_) finish_backup();
}

void Update::finish_backup() {
  BackupRecord record = {kBackupMagic, size_, hal_.flash.running_version(), crc_, 0};
  record.checksum = crc32(&record, offsetof(BackupRecord, checksum));
  if (!image_at(flash_map::kBackup, record)) return fail("backup does not read back");
  if (!hal_.flash.write(flash_map::kBackupRecord, &record, sizeof record)) return fail("flash");
  enter(Phase::Connect, "fetch");
}

void Update::tick(uint32_t now, bool may_open) {
  if (phase_ == Phase::Idle) return;
  if (progress_) progress_at_ = now;
  progress_ = false;
  if (now - progress_at_ >= kQuietMs) return fail("no answer");
  switch (phase_) {
    case Phase::Idle: break;
    case Phase::Backup:
      progress_ = true;
      backup_sector();
      break;
    case Phase::Connect:
      if (!may_open) return;
      hal_.http.open(order_.host, order_.port, nullptr);
      enter(Phase::Request, "fetch");
      break;
    case Phase::Request: request(); break;
    case Phase::Header: header(); break;
    case Phase::Body: body(); break;
    case Phase::Verify:
      progress_ = true;
      verify_step();
      break;
  }
}

void Update::verify_step() {
  // A sector a tick: hashing it takes a few milliseconds on the chip.
  for (int round = 0; round < 16 && position_ < size_; round++) {
    const uint32_t left = size_ - position_;
    const uint32_t step = left < sizeof buffer_ ? left : sizeof buffer_;
    if (!hal_.flash.read(flash_map::kStaging + position_, buffer_, (step + 3) & ~3u)) return fail("flash");
    whole_.add(buffer_, step);
    const uint32_t body = size_ - kSignature - 4;
    if (position_ < body) signed_.add(buffer_, body - position_ < step ? body - position_ : step);
    position_ += step;
  }
  if (position_ == size_) judge();
}

void Update::judge() {
  uint8_t digest[32];
  whole_.finish(digest);
  if (memcmp(digest, order_.sha256, sizeof digest) != 0) return fail("wrong sha256");
  signed_.finish(digest);
  const uint32_t tail = flash_map::kStaging + size_ - kTail;
  UpdateTrailer trailer;
  uint32_t length = 0;
  if (!hal_.flash.read(tail, &trailer, sizeof trailer) ||
      !hal_.flash.read(tail + sizeof trailer, buffer_, kSignature) ||
      !hal_.flash.read(tail + sizeof trailer + kSignature, &length, sizeof length))
    return fail("flash");
  if (length != kSignature || !hal_.verifier.verify(digest, buffer_)) return fail("bad signature");
  if (trailer.magic != kTrailerMagic || trailer.hardware != kHardwareId) return fail("not for this hardware");
  if (trailer.version < minimum_) return fail("below the minimum version");
  if (trailer.version < hal_.flash.running_version() && !order_.force) return fail("older than what runs");
  commit(trailer);
}

void Update::commit(const UpdateTrailer& trailer) {
  Trial trial = {kTrialMagic, boot_, trailer.version, trailer.minimum, 0};
  trial.checksum = crc32(&trial, offsetof(Trial, checksum));
  if (!hal_.storage.save("trial", &trial, sizeof trial)) return fail("storage");
  hal_.flash.order_copy(flash_map::kStaging, size_ - kTail);
  enter(Phase::Idle, "restart");
  restart_ = true;
}

}  // namespace bpu
