#include "trainer/optimisation/byte_map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <vector>

#include "base/file.h"

namespace cloister::trainer {
namespace {

std::vector<float> Golden(const char* name) {
  return nlohmann::json::parse(
      base::ReadFile(std::filesystem::path(CLOISTER_TEST_DATA) / "optimizers" / "golden.json")
          .value())[name];
}

TEST(ByteMap, ItsNumbersAreThePapers) {
  for (const bool is_signed : {true, false}) {
    const std::vector<float> golden = Golden(is_signed ? "signed_map" : "unsigned_map");
    const ByteMap& map = is_signed ? ByteMap::Signed() : ByteMap::Unsigned();
    ASSERT_EQ(golden.size(), 256U);
    for (std::size_t i = 0; i < golden.size(); ++i) {
      ASSERT_FLOAT_EQ(map.value(static_cast<std::uint8_t>(i)), golden[i]) << i;
    }
  }
}

// By trying all 256, for numbers everywhere and on either side of each midpoint.
TEST(ByteMap, RoundsToTheNearest) {
  for (const ByteMap* const map : {&ByteMap::Signed(), &ByteMap::Unsigned()}) {
    std::vector<float> numbers = {0, 1, 1e-30F, 1e-9F, 0.99999F};
    const int first = map == &ByteMap::Signed() ? 127 : 0;
    for (int code = first; code < 255; ++code) {
      const float middle = (map->value(static_cast<std::uint8_t>(code)) +
                            map->value(static_cast<std::uint8_t>(code + 1))) /
                           2;
      numbers.insert(numbers.end(), {middle * 0.99999F, middle * 1.00001F});
    }
    std::mt19937 random(1);
    std::uniform_real_distribution<float> exponent(-9, 0);
    for (int i = 0; i < 20000; ++i) numbers.push_back(std::pow(10.0F, exponent(random)));
    for (const float number : numbers) {
      float least = 2;
      for (int code = 0; code < 256; ++code) {
        least = std::min(least, std::abs(map->value(static_cast<std::uint8_t>(code)) - number));
      }
      ASSERT_LE(std::abs(map->value(map->Nearest(number)) - number), least * (1 + 1e-4F) + 1e-12F)
          << number;
    }
    EXPECT_EQ(map->value(map->Nearest(2)), 1);
    EXPECT_EQ(map->value(map->Nearest(std::numeric_limits<float>::quiet_NaN())), 1);
  }
}

std::vector<float> ThroughBytes(const ByteMap& map, std::span<const float> numbers) {
  std::vector<std::uint8_t> codes(numbers.size());
  std::vector<float> back(numbers.size());
  const auto count = static_cast<std::int64_t>(numbers.size());
  const float scale = map.Write(numbers.data(), count, codes.data());
  map.Read(codes.data(), count, scale, back.data());
  return back;
}

TEST(ByteMap, ABlockComesBackWithinHalfAStep) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0, 30);
  std::vector<float> numbers(256);
  for (float& number : numbers) number = normal(random);
  const std::vector<float> back = ThroughBytes(ByteMap::Signed(), numbers);
  float largest = 0;
  for (const float number : numbers) largest = std::max(largest, std::abs(number));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    // The widest step is 9 / 640 of the largest, and there is no -1.
    ASSERT_NEAR(back[i], numbers[i], largest * 0.0072) << i;
    ASSERT_GE(back[i] * numbers[i], 0);
  }
  for (float& number : numbers) number = number * number;
  const std::vector<float> squares = ThroughBytes(ByteMap::Unsigned(), numbers);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    ASSERT_NEAR(squares[i], numbers[i], largest * largest * 0.0036) << i;
    ASSERT_GT(squares[i], 0);
  }
}

TEST(ByteMap, SmallAndEmptyBlocks) {
  const std::vector<float> signs = {-2, 2, 0, -1e-9F, 1e-9F};
  EXPECT_EQ(ThroughBytes(ByteMap::Signed(), signs),
            (std::vector<float>{2 * ByteMap::Signed().value(0), 2, 0, 0, 0}));
  EXPECT_GT(ThroughBytes(ByteMap::Unsigned(), std::vector<float>{2, 1e-20F})[1], 0);
  EXPECT_EQ(ThroughBytes(ByteMap::Unsigned(), std::vector<float>{2, 0})[1], 0);
  const float tiny = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(ThroughBytes(ByteMap::Unsigned(), std::vector<float>{tiny, 0}),
            (std::vector<float>{0, 0}));
  EXPECT_EQ(ThroughBytes(ByteMap::Signed(), std::vector<float>{0, 0}), (std::vector<float>{0, 0}));
}

}  // namespace
}  // namespace cloister::trainer
