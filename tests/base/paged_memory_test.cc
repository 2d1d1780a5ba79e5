#include "base/paged_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include "base/memory.h"

namespace cloister::base {
namespace {

TEST(PagedMemory, ClearsTheRangeAloneWhereverItLies) {
  constexpr std::size_t kSize = 100'003;  // no whole pages
  for (const std::size_t begin : {0, 1, 4096, 4097, 20'000}) {
    for (const std::size_t size : {0, 1, 4095, 4096, 9000, 80'003}) {
      PagedMemory memory(kSize);
      const auto bytes = memory.bytes();
      ASSERT_EQ(bytes.size(), kSize);
      EXPECT_EQ(bytes[kSize - 1], std::byte{0});
      std::fill(bytes.begin(), bytes.end(), std::byte{7});
      memory.Clear(begin, size);
      for (std::size_t i = 0; i < kSize; ++i) {
        ASSERT_EQ(bytes[i], std::byte(i >= begin && i < begin + size ? 0 : 7)) << begin << " " << i;
      }
    }
  }
}

TEST(PagedMemory, TakesNoMemoryForWhatWasCleared) {
  constexpr std::size_t kSize = std::size_t{64} << 20;
  PagedMemory memory(kSize);
  const auto numbers = memory.As<std::uint64_t>();
  const auto before = ResidentMemory();
  if (!before) GTEST_SKIP() << "the system does not say";
  std::fill(numbers.begin(), numbers.end(), 1);
  EXPECT_GT(*ResidentMemory() - *before, std::int64_t{kSize} / 2);
  memory.Clear(4096, kSize - 2 * 4096);
  EXPECT_LT(*ResidentMemory() - *before, std::int64_t{kSize} / 4);
  EXPECT_EQ(numbers[1000], 0);
  EXPECT_EQ(numbers[0], 1);
}

TEST(PagedMemory, MayBeEmpty) {
  PagedMemory memory(0);
  memory.Clear(0, 0);
  EXPECT_TRUE(memory.bytes().empty());
}

}  // namespace
}  // namespace cloister::base
