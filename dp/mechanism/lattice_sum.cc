#include "dp/mechanism/lattice_sum.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"

namespace cloister::dp {
namespace {

constexpr std::int64_t kBlock = 4096;

// Adding it to a number below 2^51 leaves the nearest whole number in the low bits.
constexpr double kRound = 0x1.8p52;

// Two steps of an unsigned comparison for vectors: the top bit is set where `sum` is not in
// (-carry, carry).
inline std::uint32_t Reached(std::int32_t sum, std::int32_t carry) {
  const auto most = static_cast<std::uint32_t>(carry) - 1;
  const auto now = static_cast<std::uint32_t>(sum);
  return (most + now) | (most - now);
}

// Returns whether no |sum| reached `carry`. A plain loop over what processors have vectors for.
template <typename Value>
inline __attribute__((always_inline)) bool AddEach(std::int32_t* sum, const Value* values,
                                                   std::int64_t size, double scale,
                                                   std::int32_t carry) {
  std::uint32_t reached = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    double point = static_cast<double>(values[i]) * scale;
    point = point > -LatticeSum::kLargestSummand ? point : -LatticeSum::kLargestSummand;
    point = point < LatticeSum::kLargestSummand ? point : LatticeSum::kLargestSummand;
    const auto bits = std::bit_cast<std::uint64_t>(point + kRound);
    sum[i] += static_cast<std::int32_t>(static_cast<std::uint32_t>(bits));
    reached |= Reached(sum[i], carry);
  }
  return (reached >> 31) == 0;
}

// Compiled for each kind of processor.
__attribute__((target_clones("default", "avx2", "arch=x86-64-v4"))) bool AddBlock(
    std::int32_t* sum, const float* values, std::int64_t size, double scale, std::int32_t carry) {
  return AddEach(sum, values, size, scale, carry);
}

__attribute__((target_clones("default", "avx2", "arch=x86-64-v4"))) bool AddBlock(
    std::int32_t* sum, const double* values, std::int64_t size, double scale, std::int32_t carry) {
  return AddEach(sum, values, size, scale, carry);
}

// Returns whether it added `values`: not where one, or a sum, is not in (-carry, carry).
__attribute__((target_clones("default", "avx2", "arch=x86-64-v4"))) bool AddSmall(
    std::int32_t* sum, const std::int64_t* values, std::int64_t size, std::int32_t carry) {
  std::uint64_t large = 0;
  std::uint32_t reached = 0;
  const auto most = static_cast<std::uint64_t>(carry) - 1;
  for (std::int64_t i = 0; i < size; ++i) {
    const auto value = static_cast<std::uint64_t>(values[i]);
    large |= (most + value) | (most - value);
    const auto small = static_cast<std::uint32_t>(value) + static_cast<std::uint32_t>(sum[i]);
    reached |= Reached(static_cast<std::int32_t>(small), carry);
  }
  if ((large >> 63) != 0 || (reached >> 31) != 0) return false;
  for (std::int64_t i = 0; i < size; ++i) sum[i] += static_cast<std::int32_t>(values[i]);
  return true;
}

// The largest |sum|, each below kCarry.
__attribute__((target_clones("default", "avx2", "arch=x86-64-v4"))) std::int32_t Largest(
    const std::int32_t* sum, std::int64_t size) {
  std::int32_t largest = 0;
  for (std::int64_t i = 0; i < size; ++i) largest = std::max(largest, std::abs(sum[i]));
  return largest;
}

}  // namespace

LatticeSum::LatticeSum(std::int64_t dimension)
    : low_(static_cast<std::size_t>(dimension)), made_(std::make_unique<std::once_flag>()) {}

LatticeSum::LatticeSum(std::int64_t dimension, LatticeSum spare) : LatticeSum(0) {
  if (spare.dimension() != dimension) {
    *this = LatticeSum(dimension);
    return;
  }
  low_ = std::move(spare.low_);
  constexpr std::int64_t kCleared = std::int64_t{1} << 22;
  base::InParallel((dimension + kCleared - 1) / kCleared, [&](std::int64_t i) {
    std::fill_n(low_.data() + i * kCleared, std::min(kCleared, dimension - i * kCleared), 0);
  });
}

std::int32_t* LatticeSum::High() {
  CLOISTER_CHECK(made_ != nullptr);  // moved from
  std::call_once(*made_, [this] { high_ = base::ZeroedArray<std::int32_t>(low_.size()); });
  return high_.data();
}

void LatticeSum::Carry(std::int64_t begin, std::int64_t size) {
  for (std::int64_t i = begin; i < begin + size; ++i) {
    std::int32_t& low = low_[static_cast<std::size_t>(i)];
    const std::int32_t over = low / kCarry;
    if (over == 0) continue;
    low -= over * kCarry;
    High()[i] += over;
  }
}

template <typename Value>
void LatticeSum::AddInBlocks(std::int64_t begin, std::span<const Value> values, double scale) {
  const auto count = static_cast<std::int64_t>(values.size());
  CLOISTER_CHECK(begin >= 0 && begin + count <= dimension());
  for (std::int64_t start = 0; start < count; start += kBlock) {
    const std::int64_t size = std::min(kBlock, count - start);
    if (!AddBlock(low_.data() + begin + start, values.data() + start, size, scale, kCarry)) {
      Carry(begin + start, size);
    }
  }
}

void LatticeSum::AddRounded(std::int64_t begin, std::span<const float> values, double scale) {
  AddInBlocks(begin, values, scale);
}

void LatticeSum::AddRounded(std::int64_t begin, std::span<const double> values, double scale) {
  AddInBlocks(begin, values, scale);
}

void LatticeSum::Add(std::int64_t begin, std::span<const std::int64_t> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  CLOISTER_CHECK(begin >= 0 && begin + count <= dimension());
  for (std::int64_t start = 0; start < count; start += kBlock) {
    const std::int64_t size = std::min(kBlock, count - start);
    const std::int64_t* const from = values.data() + start;
    if (!AddSmall(low_.data() + begin + start, from, size, kCarry)) {
      AddLarge(begin + start, {from, static_cast<std::size_t>(size)});
    }
  }
}

void LatticeSum::AddLarge(std::int64_t begin, std::span<const std::int64_t> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t at = begin + static_cast<std::int64_t>(i);
    std::int32_t& low = low_[static_cast<std::size_t>(at)];
    const std::int64_t sum = low + values[i];
    const std::int64_t over = sum / kCarry;
    low = static_cast<std::int32_t>(sum - over * kCarry);
    if (over != 0) High()[at] += static_cast<std::int32_t>(over);
  }
}

void LatticeSum::Add(const LatticeSum& other) {
  CLOISTER_CHECK(other.dimension() == dimension());
  std::vector<std::int64_t> values;
  for (std::int64_t start = 0; start < dimension(); start += kBlock) {
    values.resize(static_cast<std::size_t>(std::min(kBlock, dimension() - start)));
    other.Read(start, values);
    Add(start, values);
  }
}

void LatticeSum::Clamp(std::int64_t most) {
  CLOISTER_CHECK(most >= 0);
  if (high_.empty() && most >= kCarry) return;
  std::vector<std::int64_t> values;
  for (std::int64_t start = 0; start < dimension(); start += kBlock) {
    values.resize(static_cast<std::size_t>(std::min(kBlock, dimension() - start)));
    Read(start, values);
    for (std::int64_t& value : values) value = std::clamp(value, -most, most) - value;
    Add(start, values);
  }
}

base::Status LatticeSum::Reserve(double most) {
  if (!high_.empty() || Largest(low_.data(), dimension()) + most < kCarry) return {};
  try {
    High();
  } catch (const std::bad_alloc&) {
    return base::Fail(base::Code::kInternal,
                      "out of memory before adding noise to " + std::to_string(dimension()) +
                          " numbers: train fewer parameters, or free some memory");
  }
  return {};
}

void LatticeSum::Read(std::int64_t begin, std::span<std::int64_t> values) const {
  CLOISTER_CHECK(begin >= 0 && begin + static_cast<std::int64_t>(values.size()) <= dimension());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t at = static_cast<std::size_t>(begin) + i;
    values[i] = low_[at] + (high_.empty() ? 0 : std::int64_t{high_[at]} * kCarry);
  }
}

template <typename Value>
void LatticeSum::ReadScaledTo(std::int64_t begin, double scale, std::span<Value> values) const {
  CLOISTER_CHECK(begin >= 0 && begin + static_cast<std::int64_t>(values.size()) <= dimension());
  const std::int32_t* const low = low_.data() + begin;
  if (high_.empty()) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<Value>(static_cast<double>(low[i]) * scale);
    }
    return;
  }
  const std::int32_t* const high = high_.data() + begin;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t sum = low[i] + std::int64_t{high[i]} * kCarry;
    values[i] = static_cast<Value>(static_cast<double>(sum) * scale);
  }
}

void LatticeSum::ReadScaled(std::int64_t begin, double scale, std::span<float> values) const {
  ReadScaledTo(begin, scale, values);
}

void LatticeSum::ReadScaled(std::int64_t begin, double scale, std::span<double> values) const {
  ReadScaledTo(begin, scale, values);
}

std::vector<std::int64_t> LatticeSum::All() const {
  std::vector<std::int64_t> all(low_.size());
  Read(0, all);
  return all;
}

}  // namespace cloister::dp
