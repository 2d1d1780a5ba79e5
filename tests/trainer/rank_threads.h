#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "trainer/distributed/gloo_ranks.h"

namespace cloister::trainer {

// Where `size` ranks of this process meet: a socket that listens on the loopback interface, at a
// port that nobody else has. The store of the first rank closes it.
inline Placement MeetHere(std::int64_t size) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(socket, any, length), 0);
  EXPECT_EQ(::listen(socket, 16), 0);
  EXPECT_EQ(::getsockname(socket, any, &length), 0);
  Placement place;
  place.size = size;
  place.port = ::ntohs(address.sin_port);
  place.socket = socket;
  place.loopback_only = true;
  return place;
}

// The same as rank `rank` has it.
inline Placement OfRank(Placement place, std::int64_t rank) {
  place.rank = rank;
  if (rank > 0) place.socket.reset();
  return place;
}

// Runs `body` on each of `size` ranks at a time, each with connections of its own, as processes
// have them.
inline void OnRanks(std::int64_t size, const std::function<void(Ranks&)>& body,
                    const Patience& patience) {
  const Placement place = MeetHere(size);
  std::vector<std::thread> threads;
  for (std::int64_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto ranks = ConnectRanks(OfRank(place, rank), patience);
      ASSERT_TRUE(ranks) << ranks.error().message;
      body(**ranks);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// The same for what is to go well, to its end.
inline void OnRanks(std::int64_t size, const std::function<void(Ranks&)>& body) {
  OnRanks(
      size,
      [&body](Ranks& ranks) {
        body(ranks);
        const base::Status left = ranks.Leave({});
        EXPECT_TRUE(left) << left.error().message;
      },
      Patience());
}

}  // namespace cloister::trainer
