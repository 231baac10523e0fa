#include "parts.h"

#include <bearssl.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "../../core/text.h"

namespace host {

bool FileRecords::has(const char* name) {
  if (memory_.count(name)) return true;
  return !folder_.empty() && std::ifstream(folder_ + "/" + name).good();
}

int FileRecords::load(const char* name, void* data, size_t size) {
  auto found = memory_.find(name);
  if (found == memory_.end() && !folder_.empty()) {
    std::ifstream file(folder_ + "/" + name, std::ios::binary);
    if (!file) return -1;
    std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    found = memory_.emplace(name, std::move(bytes)).first;
  }
  if (found == memory_.end() || found->second.size() > size) return -1;
  std::memcpy(data, found->second.data(), found->second.size());
  return static_cast<int>(found->second.size());
}

bool FileRecords::save(const char* name, const void* data, size_t size) {
  if (!board_.operate_write()) return false;
  const uint8_t* bytes = static_cast<const uint8_t*>(data);
  memory_[name] = std::vector<uint8_t>(bytes, bytes + size);
  if (folder_.empty()) return true;
  const std::string path = folder_ + "/" + name, next = path + ".new";
  std::ofstream file(next, std::ios::binary | std::ios::trunc);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  file.close();
  return file.good() && std::rename(next.c_str(), path.c_str()) == 0;
}

SerialPort::SerialPort(const std::string& path) {
  if (path.empty()) return;
  fd_ = ::open(path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (fd_ < 0) throw std::runtime_error("opening the serial port \"" + path + "\": " + std::strerror(errno));
  termios settings;
  if (tcgetattr(fd_, &settings) == 0) {
    cfmakeraw(&settings);
    tcsetattr(fd_, TCSANOW, &settings);
  }
}

int SerialPort::read() {
  if (fd_ < 0) return -1;
  if (pending_.empty()) {
    char bytes[256];
    const ssize_t got = ::read(fd_, bytes, sizeof bytes);
    if (got <= 0) return -1;
    pending_.assign(bytes, static_cast<size_t>(got));
  }
  const int c = static_cast<unsigned char>(pending_[0]);
  pending_.erase(0, 1);
  return c;
}

void SerialPort::write(const char* text, size_t size) {
  if (fd_ < 0) {
    std::fwrite(text, 1, size, stderr);
    return;
  }
  // A reader that does not read loses lines, as on a real port.
  if (::write(fd_, text, size) < 0) return;
}

SimChip::SimChip(simhw::Board& board, std::string seed) : board_(board), random_(std::random_device()()) {
  const size_t hash = std::hash<std::string>()(seed);
  const uint8_t mac[6] = {0x5c, 0xcf, 0x7f, static_cast<uint8_t>(hash >> 16), static_cast<uint8_t>(hash >> 8),
                          static_cast<uint8_t>(hash)};
  std::memcpy(mac_, mac, sizeof mac_);
}

void SimChip::restart() {
  if (!board_.operate()) return;
  wants_restart = true;
  board_.kill();
}

void SimChip::ip(char* out, size_t size) { bpu::copy_text(out, size, "127.0.0.1"); }

void SimChip::mac(uint8_t out[6]) { std::memcpy(out, mac_, sizeof mac_); }

bool RsaVerifier::verify(const uint8_t digest[32], const uint8_t signature[256]) {
  if (modulus_.size() != 256) return false;
  unsigned char exponent[3] = {1, 0, 1};
  br_rsa_public_key key = {modulus_.data(), modulus_.size(), exponent, sizeof exponent};
  unsigned char found[32];
  static const unsigned char kSha256[] = {9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1};  // its object identifier
  return br_rsa_i15_pkcs1_vrfy(signature, 256, kSha256, sizeof found, &key, found) == 1 &&
         std::memcmp(found, digest, sizeof found) == 0;
}

}  // namespace host
