#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <random>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "model/tensor.h"

namespace cloister::kernels {

// Random inputs of one test; prints the seed that made them.
class RandomData {
 public:
  explicit RandomData(std::uint64_t seed) : generator_(seed) {
    std::cout << "seed " << seed << "\n";
  }

  int Integer(int low, int high) {
    return low + static_cast<int>(generator_() % static_cast<std::uint64_t>(high - low + 1));
  }
  float Float() { return static_cast<float>(Integer(-1000000, 1000000)) / 500000.0f; }
  std::vector<float> Floats(std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = Float();
    return values;
  }

 private:
  std::mt19937_64 generator_;
};

// One weight of a block type with whole-number scale and minimum, so that every product is a whole
// number: weight = scale * level + minimum.
struct WholeBlocks {
  model::DataType type;
  std::vector<std::byte> bytes;       // [rows, blocks]
  std::vector<std::int64_t> weights;  // [rows, columns], what the bytes stand for
};

inline void Append16(std::vector<std::byte>& bytes, std::uint16_t value) {
  bytes.push_back(static_cast<std::byte>(value & 0xff));
  bytes.push_back(static_cast<std::byte>(value >> 8));
}

// `extreme` takes the ends of the levels' range alone, where sums of pairs are largest.
inline WholeBlocks MakeWholeBlocks(model::DataType type, std::int64_t rows, std::int64_t blocks,
                                   bool extreme, RandomData& random) {
  const bool bytes = type == model::DataType::kQ8_0;
  WholeBlocks made{type, {}, {}};
  for (std::int64_t b = 0; b < rows * blocks; ++b) {
    const int scale = extreme ? 1 : 1 << random.Integer(0, 1);
    const int minimum = type == model::DataType::kQ4_1 ? random.Integer(-4, 4) : 0;
    Append16(made.bytes, model::FloatToHalf(static_cast<float>(scale)));
    if (type == model::DataType::kQ4_1) {
      Append16(made.bytes, model::FloatToHalf(static_cast<float>(minimum)));
    }
    int levels[32];
    const int low = bytes ? -128 : 0;
    const int high = bytes ? 127 : 15;
    for (int& level : levels) {
      level = extreme ? (random.Integer(0, 1) ? low : high) : random.Integer(low, high);
    }
    const int shift = type == model::DataType::kQ4_0 ? -8 : 0;
    for (const int level : levels) made.weights.push_back(scale * (level + shift) + minimum);
    for (int i = 0; i < (bytes ? 32 : 16); ++i) {
      const int value = bytes ? levels[i] & 0xff : levels[i] | levels[i + 16] << 4;
      made.bytes.push_back(static_cast<std::byte>(value));
    }
  }
  return made;
}

// Activations in blocks of int8 with scale 1.
struct WholeActivations {
  std::vector<std::int8_t> values;
  std::vector<float> scales;
  std::vector<float> sums;

  cpu::QuantizedActivations view() const { return {values.data(), scales.data(), sums.data()}; }
};

inline WholeActivations MakeWholeActivations(std::int64_t blocks, bool extreme,
                                             RandomData& random) {
  WholeActivations made;
  for (std::int64_t b = 0; b < blocks; ++b) {
    int sum = 0;
    for (int i = 0; i < 32; ++i) {
      const int value = extreme ? (random.Integer(0, 1) ? -127 : 127) : random.Integer(-127, 127);
      made.values.push_back(static_cast<std::int8_t>(value));
      sum += value;
    }
    made.scales.push_back(1.0f);
    made.sums.push_back(static_cast<float>(sum));
  }
  return made;
}

}  // namespace cloister::kernels
