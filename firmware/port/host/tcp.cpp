#include "tcp.h"

#include <cerrno>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace host {

using bpu::NetState;

void Tcp::open(const char* host, uint16_t port, const bpu::Pins*) {
  close();
  if (!network_) return;
  addrinfo hints = {}, *list = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(host, std::to_string(port).c_str(), &hints, &list) != 0) return;
  fd_ = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ >= 0) {
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connecting_ = true;
    if (connect(fd_, list->ai_addr, list->ai_addrlen) != 0 && errno != EINPROGRESS) close();
  }
  freeaddrinfo(list);
}

NetState Tcp::state() {
  if (fd_ < 0) return NetState::Closed;
  if (!connecting_) return NetState::Open;
  pollfd one = {fd_, POLLOUT, 0};
  if (poll(&one, 1, 0) == 0) return NetState::Opening;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    close();
    return NetState::Closed;
  }
  connecting_ = false;
  return NetState::Open;
}

int Tcp::read(uint8_t* data, size_t size) {
  if (fd_ < 0) return -1;
  const ssize_t got = recv(fd_, data, size, 0);
  if (got > 0) return static_cast<int>(got);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return -1;
}

int Tcp::write(const uint8_t* data, size_t size) {
  if (fd_ < 0) return -1;
  const ssize_t sent = send(fd_, data, size, MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<int>(sent);
  return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

void Tcp::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  connecting_ = false;
}

void Tcp::set_network(bool up) {
  network_ = up;
  if (!up) close();
}

}  // namespace host
