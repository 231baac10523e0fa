// The backplane unit: slots, bus, set-up and update in one loop that never waits.
#pragma once

#include "config.h"
#include "fence.h"
#include "ina219.h"
#include "mqtt_client.h"
#include "provision.h"
#include "restore.h"
#include "rtc_image.h"
#include "shiftchain.h"
#include "slot.h"
#include "update.h"

namespace bpu {

class BpuApp final : private MqttListener {
 public:
  explicit BpuApp(Hal& hal);

  // Once after a restart of any kind. Power is as it was when this returns.
  void start();
  // As often as possible. Blocks only where Transport::open does.
  void tick();

  uint8_t slots() const { return slots_; }
  uint32_t boot() const { return boot_; }
  uint32_t uptime_s() const { return static_cast<uint32_t>(uptime_ms_ / 1000); }
  const Config& config() const { return config_; }
  const MqttClient& mqtt() const { return mqtt_; }
  const Update& update() const { return update_; }
  Slot& slot(uint8_t index) { return slot_[index]; }
  // True when all that is to be said has been said and taken.
  bool settled() const;

 private:
  struct Ack {
    uint8_t slot = 0;  // 0 = the unit itself
    Code code = Code::Bad;
    CommandId id;
  };
  struct PendingEvent {
    uint8_t slot = 0;
    Event event = Event::Button;
    uint32_t seq = 0;
  };
  // What was published so far of the sequence that follows a connection: info, states, status.
  enum class Sync : uint8_t { Info, States, Status, Done };
  enum class InFlight : uint8_t { Other, Ack, Event };

  // app_bpu.cpp
  void read_inputs(uint8_t inputs[kMaxSlots]);
  void write_outputs();
  void cold_start();
  void count_boot();
  void connect_settings();
  void tick_slots(uint32_t now);
  void tick_restore();
  void tick_health();
  void update_views();
  void remember_wants(uint32_t now);
  void sample_power(uint32_t now);
  void show_link();
  bool pressing() const;
  bool blind() const { return blind_looks_ >= kBlindLooks; }
  void log(const char* text);
  void adopt_config(uint32_t now);

  // app_commands.cpp
  void mqtt_message(const mqtt::Publish& message) override;
  void controller_message(Text payload);
  void slot_command(uint8_t slot, Text payload);
  void unit_command(Text payload);
  Code run_slot_command(uint8_t slot, const JsonObject& json);
  Code run_unit_command(const JsonObject& json);
  Code check_boot_and_time(const JsonObject& json) const;
  void answer(uint8_t slot, const CommandId& id, Code code);
  void drop() { dropped_++; }

  // app_publish.cpp
  void mqtt_connected() override;
  void mqtt_disconnected() override;
  void mqtt_delivered() override;
  void republish_all();
  void publish_next(uint32_t now);
  bool publish_sync(uint32_t now);
  bool publish_info(uint32_t now);
  bool publish_status(uint32_t now);
  bool publish_state(uint8_t slot, uint32_t now);
  bool publish_ack(const Ack& ack, uint32_t now);
  bool publish_event(const PendingEvent& event, uint32_t now);
  bool publish_telemetry(uint32_t now);
  bool publish_slot_telemetry(uint8_t slot, uint32_t now);
  bool send(const char* leaf, uint8_t slot, uint8_t qos, bool retain, uint32_t now);

  Hal& hal_;
  ShiftChain chain_;
  RtcImage rtc_;
  Slot slot_[kMaxSlots];
  Ina219 ina_[kMaxSlots];
  EnergyCounter energy_[kMaxSlots];
  Config config_;
  Provisioner provisioner_;
  Update update_;
  PowerRestore restore_;
  MqttClient mqtt_;

  uint8_t slots_ = 3;
  uint8_t latched_[kMaxSlots] = {};
  uint32_t boot_ = 0;
  uint32_t now_ = 0, looked_ = 0;
  uint64_t uptime_ms_ = 0;
  uint32_t loop_max_ms_ = 0;
  uint32_t dropped_ = 0;
  uint32_t chain_errors_ = 0;
  uint8_t blind_looks_ = 0;  // at the chain, one after the other, that told nothing
  bool controller_ready_ = false;
  bool restart_ = false;
  uint32_t restart_at_ = 0;
  uint64_t connected_at_ = 0;

  uint8_t last_wants_ = 0;
  bool wants_known_ = false;
  uint32_t wants_saved_at_ = 0;

  SlotView view_[kMaxSlots];
  uint32_t seq_[kMaxSlots] = {1, 1, 1, 1};
  bool touched_[kMaxSlots] = {};
  CommandId last_[kMaxSlots];
  Fence fence_[kMaxSlots];
  Fence unit_fence_;

  Sync sync_ = Sync::Info;
  uint8_t sync_slot_ = 0;
  InFlight in_flight_ = InFlight::Other;
  bool info_due_ = false, status_due_ = false, telemetry_due_ = false;
  bool state_due_[kMaxSlots] = {};
  uint32_t republished_ = 0, telemetry_at_ = 0, sampled_at_ = 0;
  uint8_t sample_slot_ = 0;
  uint32_t slot_telemetry_at_[kMaxSlots] = {};
  uint32_t slot_sampled_at_[kMaxSlots] = {};
  int16_t milliamps_[kMaxSlots] = {};
  uint16_t millivolts_[kMaxSlots] = {};

  static constexpr uint8_t kBlindLooks = 5;
  static constexpr uint8_t kAcks = 12, kEvents = 12;
  Ack acks_[kAcks];
  PendingEvent events_[kEvents];
  uint8_t ack_count_ = 0, event_count_ = 0;

  char will_topic_[64];
  char unit_filter_[64], slot_filter_[64];
  const char* filters_[3];
  Pins pins_ = {};
  char text_[449];  // the payload being written; 448 bytes are the most the contract allows
};

}  // namespace bpu
