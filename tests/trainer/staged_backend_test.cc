// Transfers by way of a device: what arrives is what was sent, and waiting can be broken off.
#include "trainer/distributed/staged_backend.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "tests/trainer/rank_threads.h"
#include "trainer/distributed/backend.h"

namespace cloister::trainer {
namespace {

using Tensors = std::vector<at::Tensor>;
using Body = std::function<void(c10d::Backend& backend, std::int64_t rank)>;

// Gloo below, whose device is the CPU: the copies are there all the same.
void OnStagedRanks(std::int64_t size, const Body& body) {
  const Placement place = MeetHere(size);
  std::vector<std::thread> threads;
  for (std::int64_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const Placement own = OfRank(place, rank);
      const auto meeting = MeetingPlace::Open(own, {});
      ASSERT_TRUE(meeting) << meeting.error().message;
      const auto gloo = MakeBackend(own, {}, **meeting, "cpu");
      ASSERT_TRUE(gloo) << gloo.error().message;
      body(*StageOn(c10::Device(c10::kCPU), *gloo), rank);
      EXPECT_TRUE((*meeting)->Leave({}));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

at::Tensor Row(std::int64_t first) { return at::arange(first, first + 4).to(at::kFloat); }

TEST(StagedBackend, WhatArrivesIsWhatWasSent) {
  OnStagedRanks(3, [](c10d::Backend& backend, std::int64_t rank) {
    Tensors one = {rank == 1 ? Row(7) : Row(0)};
    c10d::BroadcastOptions from;
    from.rootRank = 1;
    backend.broadcast(one, from)->wait();
    EXPECT_TRUE(at::equal(one[0], Row(7)));

    at::Tensor own = Row(10 * rank), all = at::zeros({12});
    backend._allgather_base(all, own)->wait();
    EXPECT_TRUE(at::equal(all, at::cat({Row(0), Row(10), Row(20)})));

    Tensors sent = {Row(100 * rank)};
    std::vector<Tensors> gathered;
    if (rank == 2) gathered = {{at::zeros({4}), at::zeros({4}), at::zeros({4})}};
    c10d::GatherOptions to;
    to.rootRank = 2;
    backend.gather(gathered, sent, to)->wait();
    for (std::int64_t r = 0; rank == 2 && r < 3; ++r) {
      EXPECT_TRUE(at::equal(gathered[0][static_cast<std::size_t>(r)], Row(100 * r)));
    }

    std::vector<Tensors> parts;
    if (rank == 0) parts = {{Row(1), Row(2), Row(3)}};
    Tensors part = {at::zeros({4})};
    backend.scatter(part, parts)->wait();
    EXPECT_TRUE(at::equal(part[0], Row(1 + rank)));

    at::Tensor outgoing = Row(0).narrow(0, 0, 3) + 10.0 * static_cast<double>(rank);
    at::Tensor incoming = at::zeros({3});
    std::vector<std::int64_t> alike;
    backend.alltoall_base(incoming, outgoing, alike, alike)->wait();
    EXPECT_TRUE(
        at::equal(incoming, at::arange(3).to(at::kFloat) * 10.0 + static_cast<double>(rank)));
  });
}

TEST(StagedBackend, WaitingMayBeBrokenOffAndTakenUpAgain) {
  std::atomic<bool> waited = false;
  OnStagedRanks(2, [&](c10d::Backend& backend, std::int64_t rank) {
    Tensors one = {Row(rank)};
    if (rank == 0) {
      while (!waited) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const auto work = backend.broadcast(one);
    if (rank == 1) {
      EXPECT_THROW(work->wait(std::chrono::milliseconds(20)), c10::Error);
      EXPECT_FALSE(work->isCompleted());
      EXPECT_TRUE(at::equal(one[0], Row(1)));
      waited = true;
    }
    EXPECT_TRUE(work->wait());
    EXPECT_TRUE(at::equal(one[0], Row(0)));
  });
}

}  // namespace
}  // namespace cloister::trainer
