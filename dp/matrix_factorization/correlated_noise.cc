#include "dp/matrix_factorization/correlated_noise.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace cloister::dp {
namespace {

constexpr double kLeastSigma = 16;
constexpr double kLargestSigma = 0x1p40;
// No sample is beyond: sqrt(2 * 565 ln 2) < 28 standard deviations, and its rounding.
constexpr double kReach = 28;
constexpr std::int64_t kMostNumbers = std::int64_t{1} << 40;  // rows * dimension
constexpr std::size_t kPart = 4096;                           // numbers that are drawn at once

tl::unexpected<base::Error> Bad(const std::string& field, const std::string& rule) {
  return base::Fail(base::Code::kInvalidArgument, "correlated noise, " + field + ": " + rule);
}

// floor((value + floor(divisor / 2)) / divisor): whole multiples of the divisor pass through.
std::int64_t RoundedQuotient(std::int64_t value, std::int64_t divisor) {
  const std::int64_t raised = value + divisor / 2;
  const std::int64_t quotient = raised / divisor;
  return quotient - (quotient * divisor > raised ? 1 : 0);
}

}  // namespace

base::Result<CorrelatedNoise> CorrelatedNoise::Create(BandedMatrix matrix, std::int64_t dimension,
                                                      double sigma, security::AesCtrStream random,
                                                      const security::Sha256Digest& purpose) {
  if (!(sigma >= kLeastSigma && sigma <= kLargestSigma)) {
    return Bad("sigma",
               "z's deviation must be from 16 to 2^40 units of 2^-12 spacings: change the "
               "lattice's spacing");
  }
  if (dimension < 1 || dimension > kMostNumbers / std::max<std::int64_t>(1, matrix.bands() - 1)) {
    return Bad("dimension", "give the number of parameters, (bands - 1) times it at most 2^40");
  }
  RunId run{};
  random.Fill(run);
  CorrelatedNoise noise(std::move(matrix), dimension, sigma, std::move(random), run);
  noise.purpose_ = purpose;
  // What the sum in DrawPart can reach, every term at its largest.
  const double reach =
      kReach * sigma + 1 +
      static_cast<double>(noise.matrix_.bands()) * BandedMatrix::kOne * noise.largest_;
  if (!(reach <= 0x1p61)) {
    return Bad("sigma",
               "the inverse's rows could pass 64 bits: give a coarser lattice or a matrix "
               "that is better conditioned");
  }
  noise.rows_.resize(static_cast<std::size_t>(noise.slots_ * dimension));
  return noise;
}

CorrelatedNoise::CorrelatedNoise(BandedMatrix matrix, std::int64_t dimension, double sigma,
                                 security::AesCtrStream random, const RunId& run)
    : matrix_(std::move(matrix)),
      dimension_(dimension),
      // row = C^-1 (z + C[t][t] r) with |r| <= 1/2 + 2^-13, all times 2^-12.
      largest_(InverseRowSum(matrix_) * (kReach * sigma + 2 + BandedMatrix::kOne / 2.0) /
                   BandedMatrix::kOne +
               1),
      sigma_(sigma),
      slots_(std::max<std::int64_t>(1, matrix_.bands() - 1)),
      run_(run),
      sampler_(sigma, std::move(random)) {}

CorrelatedNoise::~CorrelatedNoise() {
  if (!rows_.empty()) OPENSSL_cleanse(rows_.data(), rows_.size() * sizeof rows_.front());
}

std::span<std::int64_t> CorrelatedNoise::RowOf(std::int64_t step) {
  return std::span(rows_).subspan(static_cast<std::size_t>(step % slots_ * dimension_),
                                  static_cast<std::size_t>(dimension_));
}
std::span<const std::int64_t> CorrelatedNoise::RowOf(std::int64_t step) const {
  return std::span(rows_).subspan(static_cast<std::size_t>(step % slots_ * dimension_),
                                  static_cast<std::size_t>(dimension_));
}

// The part of the next row that begins at `begin`; `part` is for z.
void CorrelatedNoise::DrawPart(std::size_t begin, std::span<std::int64_t> part) {
  sampler_.Fill(part);
  const std::int64_t before = std::min(matrix_.bands() - 1, step_);
  for (std::int64_t below = 1; below <= before; ++below) {
    const std::int64_t entry = matrix_.entry(step_ - below, below);
    const std::int64_t* const row = RowOf(step_ - below).data() + begin;
    for (std::size_t i = 0; i < part.size(); ++i) part[i] -= entry * row[i];
  }
  const std::int64_t diagonal = matrix_.entry(step_, 0);
  // The slot of the oldest row, which was read above.
  std::int64_t* const row = RowOf(step_).data() + begin;
  for (std::size_t i = 0; i < part.size(); ++i) row[i] = RoundedQuotient(part[i], diagonal);
}

base::Status CorrelatedNoise::Advance() {
  if (step_ >= matrix_.steps()) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "correlated noise: all " + std::to_string(matrix_.steps()) +
                          " steps of the factorization are done: plan more steps beforehand");
  }
  std::array<std::int64_t, kPart> z;  // NOLINT: filled by the sampler
  const auto dimension = static_cast<std::size_t>(dimension_);
  for (std::size_t begin = 0; begin < dimension; begin += kPart) {
    DrawPart(begin, std::span(z).first(std::min(kPart, dimension - begin)));
  }
  OPENSSL_cleanse(z.data(), sizeof z);
  security::SystemRandom(mark_);
  ++step_;
  oldest_ = std::max(oldest_, step_ - slots_);
  return {};
}

std::span<const std::int64_t> CorrelatedNoise::row() const { return RowOf(step_ - 1); }

}  // namespace cloister::dp
