// Update of the firmware: fetch, verify, keep the old image, try the new one, go back when it fails.
//
// Flash of 4 MiB: 0 the running image, 1 MiB the image before it (its record in the last sector), 2 MiB the image
// being fetched, 3 MiB files. The boot loader copies over the running image; there is no second one to start from,
// so power lost during those seconds, or an image that dies before its first instruction, needs the USB cable.
//
// An update file: image, trailer, RSA-2048 signature over the SHA-256 of both, 4 bytes of its length.
#pragma once

#include "hal.h"
#include "json_read.h"
#include "sha256.h"

namespace bpu {

namespace flash_map {
constexpr uint32_t kBackup = 0x100000;
constexpr uint32_t kBackupRecord = 0x1ff000;
constexpr uint32_t kStaging = 0x200000;
constexpr uint32_t kMaxImage = kBackupRecord - kBackup;
}  // namespace flash_map

struct UpdateTrailer {
  uint32_t magic;      // kTrailerMagic
  uint32_t hardware;   // kHardwareId
  uint32_t version;    // of the image, as kFirmwareNumber
  uint32_t minimum;    // once this image has proved itself, nothing older is taken, forced or not
};
constexpr uint32_t kTrailerMagic = 0x44444143;  // "CADD"
constexpr uint32_t kSignature = 256;
constexpr uint32_t kTail = sizeof(UpdateTrailer) + kSignature + 4;

// What an `ota` command asks for.
struct UpdateOrder {
  char host[64];
  char path[160];
  uint16_t port;
  uint8_t sha256[32];  // of the whole file
  bool force;          // an older version is taken too
  bool parse(const JsonObject& json);
};

class Update {
 public:
  explicit Update(Hal& hal) : hal_(hal) {}

  // At start. True: the image on trial has had three boots without proving itself; the boot loader has been told
  // to bring the old one back, and take_restart says so.
  bool start(uint32_t boot);

  // False when one is under way.
  bool begin(const UpdateOrder& order);
  // may_open = false holds back the connection, which may block on some platforms.
  void tick(uint32_t now, bool may_open);
  bool take_restart();

  bool on_trial() const { return on_trial_; }
  // The running image has proved itself.
  void healthy();

  // For people: "", "backup", "fetch", "verify", "restart", "trial", "done", "rolled back" or what failed.
  const char* report() const { return report_; }
  bool take_changed();
  uint32_t minimum_version() const { return minimum_; }
  bool busy() const { return phase_ != Phase::Idle; }

  static constexpr uint32_t kQuietMs = 30000;  // without progress the fetch is given up
  static constexpr uint32_t kTrialBoots = 3;

 private:
  enum class Phase : uint8_t { Idle, Backup, Connect, Request, Header, Body, Verify };
  struct Trial {
    uint32_t magic;
    uint32_t boot;     // the boot that ordered it
    uint32_t version;
    uint32_t minimum;
    uint32_t checksum;
  };
  struct BackupRecord {
    uint32_t magic;
    uint32_t size;
    uint32_t version;
    uint32_t image_crc;
    uint32_t checksum;
  };

  bool load_trial(Trial& trial);
  void clear_trial();
  bool load_backup(BackupRecord& record);
  // True when the image of the record is at the address, whole.
  bool image_at(uint32_t address, const BackupRecord& record);
  void enter(Phase phase, const char* report);
  void fail(const char* reason);

  void begin_backup();
  void backup_sector();
  void finish_backup();
  void request();
  void header();
  bool header_line();
  void body();
  bool store(size_t size);
  void verify_step();
  void judge();
  void commit(const UpdateTrailer& trailer);

  Hal& hal_;
  UpdateOrder order_;
  Phase phase_ = Phase::Idle;
  bool on_trial_ = false;
  bool restart_ = false;
  bool changed_ = false;
  const char* report_ = "";
  uint32_t boot_ = 0;
  uint32_t minimum_ = 0;
  uint32_t progress_at_ = 0;
  bool progress_ = false;
  bool status_ok_ = false;  // the server has said 200
  uint32_t position_ = 0;   // bytes copied, received or verified
  uint32_t size_ = 0;       // of the file
  uint32_t crc_ = 0;
  uint32_t fill_ = 0;       // bytes in buffer_
  Sha256 whole_, signed_;
  alignas(4) uint8_t buffer_[256];
};

}  // namespace bpu
