// Any bytes as a JSON object: no crash, no read beyond the end, and whatever is accepted can be read.
#include "../core/config.h"
#include "../core/update.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bpu::JsonObject json;
  if (!json.parse(reinterpret_cast<const char*>(data), size)) return 0;
  const char* const keys[] = {"id", "op", "epoch", "boot", "exp", "wait_s", "led", "url", "a"};
  for (const char* key : keys) {
    char text[37];
    uint32_t number = 0;
    bool truth = false;
    const bool is_text = json.string(key, text, sizeof text) == bpu::Field::Ok;
    const bool is_number = json.number(key, number) == bpu::Field::Ok;
    const bool is_truth = json.boolean(key, truth) == bpu::Field::Ok;
    if (is_text + is_number + is_truth > 1 || (is_text && !json.has(key))) __builtin_trap();
  }
  bpu::Config config;
  bpu::apply_all_settings(json, config);
  bpu::UpdateOrder order;
  order.parse(json);
  return 0;
}
