#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "tests/trainer/loopback.h"
#include "trainer/distributed/gloo_ranks.h"

namespace cloister::trainer {

// Where `size` ranks of this process meet: a socket that listens on the loopback interface, at a
// port that nobody else has. The store of the first rank closes it.
inline Placement MeetHere(std::int64_t size) {
  const LoopbackSocket here = BindLoopback();
  EXPECT_EQ(::listen(here.descriptor, 16), 0);
  Placement place;
  place.size = size;
  place.port = here.port;
  place.socket = here.descriptor;
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
