#include "base/zeroed_array.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

namespace cloister::base {
namespace {

TEST(ZeroedArray, IsZeroAndWritable) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, std::size_t{3} << 20}) {
    ZeroedArray<std::int32_t> array(size);
    ASSERT_EQ(array.size(), size);
    EXPECT_EQ(std::count(array.data(), array.data() + size, 0), static_cast<std::int64_t>(size));
    array[size - 1] = 7;
    const ZeroedArray<std::int32_t> moved = std::move(array);
    EXPECT_EQ(moved[size - 1], 7);
    // What it is about. NOLINTNEXTLINE(bugprone-use-after-move)
    EXPECT_TRUE(array.empty());
  }
  EXPECT_TRUE(ZeroedArray<std::int32_t>().empty());
  EXPECT_TRUE(ZeroedArray<std::int32_t>(0).empty());
}

TEST(ZeroedArray, ThrowsWhereThereIsNoMemory) {
  EXPECT_THROW(ZeroedArray<char>(std::numeric_limits<std::size_t>::max() / 4), std::bad_alloc);
  EXPECT_THROW(ZeroedArray<std::int64_t>(std::numeric_limits<std::size_t>::max() / 4),
               std::bad_alloc);
}

}  // namespace
}  // namespace cloister::base
