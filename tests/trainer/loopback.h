#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

namespace cloister::trainer {

struct LoopbackSocket {
  int descriptor = -1;
  std::uint16_t port = 0;
};

// Bound on the loopback interface, at a port that nobody else has. The caller's to close.
inline LoopbackSocket BindLoopback() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(socket, any, length), 0);
  EXPECT_EQ(::getsockname(socket, any, &length), 0);
  return {socket, ::ntohs(address.sin_port)};
}

}  // namespace cloister::trainer
