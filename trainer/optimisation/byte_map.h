#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace cloister::trainer {

// Numbers of one block as bytes: dynamic tree quantization (Dettmers 2016, "8-Bit Approximations
// for Parallelism in Deep Learning") as in 8-bit optimizers (Dettmers, Lewis, Shleifer and
// Zettlemoyer 2022). A byte is one of 256 numbers in [-1, 1], or [0, 1], over the block's largest
// magnitude: 0, 1, and seven decades of evenly spaced numbers, twice as many in each as in the one
// below. The tables are those of bitsandbytes' create_dynamic_map. Immutable, thread-safe.
class ByteMap {
 public:
  static const ByteMap& Signed();    // of first moments
  static const ByteMap& Unsigned();  // of second moments, whose roots are divided by

  // The number that a byte stands for, of a block whose largest magnitude is 1.
  float value(std::uint8_t code) const { return values_[code]; }

  // The byte of the number nearest to 0 <= x <= 1; halfway between two the greater one. What is
  // above 1, or no number, is 1.
  std::uint8_t Nearest(float x) const;

  // Reads bytes back as numbers.
  void Read(const std::uint8_t* codes, std::int64_t count, float scale, float* numbers) const;
  // Writes numbers, at least 0 where the map is Unsigned(), as bytes; returns their scale, the
  // largest magnitude. Magnitudes are rounded to the nearest, and of second moments none above 0
  // to 0, which would be divided by. A block without a number of normal size is all 0.
  float Write(const float* numbers, std::int64_t count, std::uint8_t* codes) const;

 private:
  explicit ByteMap(bool is_signed);
  std::uint8_t Magnitude(float x) const;

  // Bits of a float from which the search starts: exponents from 2^-24, below which all is nearest
  // to 0, and eight bits of the fraction, between two of which lies one threshold at most.
  static constexpr int kShift = 15;
  static constexpr std::uint32_t kFirstKey = (127U - 24U) << 8U;

  bool signed_;
  std::uint8_t zero_;  // the byte of 0
  std::array<float, 256> values_{};
  std::vector<float> thresholds_;    // magnitude i + 1 begins at thresholds_[i]; the last: infinity
  std::vector<std::uint8_t> start_;  // by key: the magnitude that the key's first number has
};

}  // namespace cloister::trainer
