#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/zeroed_array.h"

namespace cloister::dp {

// A vector of whole numbers that others are added to, exactly: whatever the order, the grouping or
// the thread, the sum is the same. Four bytes a coordinate until one passes 2^30, eight from then
// on; numbers to 2^60.
//
// Add() calls on ranges that do not overlap may run at the same time; nothing else may.
class LatticeSum {
 public:
  // No summand of AddRounded() is beyond this.
  static constexpr double kLargestSummand = 0x1p26;

  explicit LatticeSum(std::int64_t dimension);
  // All zero as well, in the memory of a sum that is not needed any more where it has as many
  // coordinates: the system takes longer to clear what it gives than this does.
  LatticeSum(std::int64_t dimension, LatticeSum spare);

  std::int64_t dimension() const { return static_cast<std::int64_t>(low_.size()); }

  // sum[begin + i] += the whole number nearest to values[i] * scale, the product taken in fp64;
  // halves to even, beyond kLargestSummand that, and a NaN -kLargestSummand.
  void AddRounded(std::int64_t begin, std::span<const float> values, double scale);
  void AddRounded(std::int64_t begin, std::span<const double> values, double scale);
  // sum[begin + i] += values[i], each below 2^60 with the sum.
  void Add(std::int64_t begin, std::span<const std::int64_t> values);
  void Add(const LatticeSum& other);  // of the same dimension
  // Cuts each coordinate to [-most, most]. No two sums are farther apart afterwards than before, in
  // any norm.
  void Clamp(std::int64_t most);
  // Takes the memory that one more Add() to each coordinate of numbers up to `most` could ask for,
  // so that it asks for none. kInternal where there is none left.
  base::Status Reserve(double most);

  // values[i] = sum[begin + i].
  void Read(std::int64_t begin, std::span<std::int64_t> values) const;
  // values[i] = sum[begin + i] * scale, the product taken in fp64.
  void ReadScaled(std::int64_t begin, double scale, std::span<float> values) const;
  void ReadScaled(std::int64_t begin, double scale, std::span<double> values) const;
  std::vector<std::int64_t> All() const;
  // Where Add calls write, four bytes a coordinate: for fetching ahead, and for nothing else.
  const std::int32_t* Memory() const { return low_.data(); }

 private:
  static constexpr std::int32_t kCarry = std::int32_t{1} << 30;

  template <typename Value>
  void AddInBlocks(std::int64_t begin, std::span<const Value> values, double scale);
  template <typename Value>
  void ReadScaledTo(std::int64_t begin, double scale, std::span<Value> values) const;
  void AddLarge(std::int64_t begin, std::span<const std::int64_t> values);
  std::int32_t* High();  // made when first asked for, if Reserve() was not asked before
  void Carry(std::int64_t begin, std::int64_t size);

  // sum = low + kCarry * high, |low| < kCarry.
  base::ZeroedArray<std::int32_t> low_;
  base::ZeroedArray<std::int32_t> high_;  // empty: all zero
  std::unique_ptr<std::once_flag> made_;
};

}  // namespace cloister::dp
