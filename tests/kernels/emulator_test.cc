#include <gtest/gtest.h>

#include <array>
#include <atomic>

#include "kernels/emulator/device.h"

namespace cloister::kernels::device {
namespace {

struct Numbers {
  int values[128];
};

// Each thread writes its own place and reads its mirror image's; without the barrier the threads
// that run first would find nothing there.
void Mirror(const Thread& thread, bool with_barrier, std::vector<int>& output) {
  Numbers& shared = thread.Shared<Numbers>();
  shared.values[thread.thread()] = thread.thread() + 1000 * thread.block();
  if (with_barrier) thread.Barrier();
  output[static_cast<std::size_t>(thread.block()) * 128 +
         static_cast<std::size_t>(thread.thread())] = shared.values[127 - thread.thread()];
}

TEST(EmulatorTest, ABarrierLetsThreadsSeeEachOthersWrites) {
  std::vector<int> output(256);
  ASSERT_TRUE(Launch(2, 128, [&](const Thread& t) { Mirror(t, true, output); }));
  for (int i = 0; i < 256; ++i) {
    EXPECT_EQ(output[static_cast<std::size_t>(i)], 127 - i % 128 + 1000 * (i / 128));
  }
}

TEST(EmulatorTest, AMissingBarrierShows) {
  std::vector<int> output(128);
  ASSERT_TRUE(Launch(1, 128, [&](const Thread& t) { Mirror(t, false, output); }));
  EXPECT_NE(output[0], 127);
}

TEST(EmulatorTest, ShufflesAddUpWarpByWarp) {
  std::vector<float> output(96);
  ASSERT_TRUE(Launch(1, 96, [&](const Thread& thread) {
    float sum = static_cast<float>(thread.thread());
    for (int mask = 16; mask > 0; mask /= 2) sum += thread.ShuffleXor(sum, mask);
    output[static_cast<std::size_t>(thread.thread())] = sum;
  }));
  for (int i = 0; i < 96; ++i) {
    const int warp = i / 32;
    EXPECT_EQ(output[static_cast<std::size_t>(i)], static_cast<float>(496 + 1024 * warp));
  }
}

TEST(EmulatorTest, ABarrierThatAThreadNeverReachesIsReported) {
  const auto status = Launch(1, 64, [](const Thread& thread) {
    if (thread.thread() != 5) thread.Barrier();
  });
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("never reach"), std::string::npos);
}

TEST(EmulatorTest, AShuffleOfPartOfAWarpIsReported) {
  EXPECT_FALSE(Launch(1, 64, [](const Thread& thread) {
    if (thread.thread() < 40) thread.ShuffleXor(1.0f, 1);
  }));
}

struct alignas(16) Words {
  std::int32_t words[4];
};

TEST(EmulatorTest, CopiesArriveWithTheWaitAndNotBefore) {
  alignas(16) static constexpr std::int32_t kFrom[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::array<std::int32_t, 3> seen{};
  ASSERT_TRUE(Launch(1, 32, [&](const Thread& thread) {
    if (thread.thread() != 0) return;
    struct Two {
      Words first, second;
    };
    Two& shared = thread.Shared<Two>();
    thread.CopyAsync16(&shared.first, kFrom);
    thread.CommitCopies();
    thread.CopyAsync16(&shared.second, kFrom + 4);
    thread.CommitCopies();
    seen[0] = shared.first.words[0];
    thread.WaitCopies<1>();
    seen[1] = shared.first.words[0];
    seen[2] = shared.second.words[0];
  }));
  EXPECT_NE(seen[0], 1);
  EXPECT_EQ(seen[1], 1);
  EXPECT_NE(seen[2], 5);
}

TEST(EmulatorTest, AMisalignedCopyIsReported) {
  alignas(16) static constexpr char kFrom[32] = {};
  const auto status = Launch(
      1, 32, [&](const Thread& thread) { thread.CopyAsync16(&thread.Shared<Words>(), kFrom + 2); });
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("aligned"), std::string::npos);
}

TEST(EmulatorTest, DotProduct4IsOfSignedBytes) {
  EXPECT_EQ(DotProduct4(0x807f01ff, 0x7f7f0201, 10), 10 - 128 * 127 + 127 * 127 + 2 - 1);
}

}  // namespace
}  // namespace cloister::kernels::device
