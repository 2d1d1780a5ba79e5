#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "dp/matrix_factorization/correlated_noise.h"
#include "dp/matrix_factorization/factorization.h"
#include "tests/dp/rounded_gaussian.h"

namespace cloister::dp {
namespace {

using Row = std::vector<std::int64_t>;
using Rows = std::vector<Row>;
using Bytes = std::span<const std::uint8_t>;

constexpr std::int64_t kDimension = 37;
constexpr double kSigma = 3e6;  // of z: 46 spacings

BandedMatrix Matrix(std::int64_t steps, std::int64_t bands, double momentum = 0) {
  auto matrix = OptimizeBanded({steps, momentum}, bands);
  EXPECT_TRUE(matrix) << (matrix ? "" : matrix.error().message);
  return std::move(matrix).value();
}

CorrelatedNoise Make(const BandedMatrix& matrix, std::uint8_t seed,
                     std::int64_t dimension = kDimension, double sigma = kSigma) {
  auto noise = CorrelatedNoise::Create(matrix, dimension, sigma, StreamOfSeed(seed));
  EXPECT_TRUE(noise) << (noise ? "" : noise.error().message);
  return std::move(noise).value();
}

Row Next(CorrelatedNoise& noise) {
  EXPECT_TRUE(noise.Advance());
  return {noise.row().begin(), noise.row().end()};
}

// The z that a noise of this seed uses: its stream after the 16 bytes of the run's name.
Rows DrawZ(std::int64_t steps, std::uint8_t seed, std::int64_t dimension = kDimension) {
  security::AesCtrStream stream = StreamOfSeed(seed);
  std::array<std::uint8_t, 16> run{};
  stream.Fill(run);
  LatticeSampler sampler(kSigma, std::move(stream));
  Rows z(static_cast<std::size_t>(steps), Row(static_cast<std::size_t>(dimension)));
  for (Row& row : z) sampler.Fill(row);
  return z;
}

// 2^16 (C x)_t of one coordinate, over the first `steps` rows.
std::int64_t Encoded(const BandedMatrix& matrix, const Rows& x, std::int64_t t, std::size_t i) {
  std::int64_t sum = 0;
  for (std::int64_t below = 0; below < std::min(matrix.bands(), t + 1); ++below) {
    sum += matrix.entry(t - below, below) * x[static_cast<std::size_t>(t - below)][i];
  }
  return sum;
}

TEST(CorrelatedNoise, StreamsTheDenseInverse) {
  constexpr std::int64_t kSteps = 40;
  for (const std::int64_t bands : {1, 2, 7, 40}) {
    const BandedMatrix matrix = Matrix(kSteps, bands, 0.5);
    CorrelatedNoise noise = Make(matrix, 81);
    const Rows z = DrawZ(kSteps, 81);
    Rows rows;
    for (std::int64_t t = 0; t < kSteps; ++t) rows.push_back(Next(noise));
    for (std::size_t i = 0; i < static_cast<std::size_t>(kDimension); ++i) {
      std::vector<double> dense;  // C^-1 z of one coordinate, in fp64
      for (std::size_t t = 0; t < rows.size(); ++t) {
        auto value = static_cast<double>(z[t][i]);
        for (std::size_t below = 1; below < std::min<std::size_t>(bands, t + 1); ++below) {
          value -=
              matrix.entry(static_cast<std::int64_t>(t - below), static_cast<std::int64_t>(below)) *
              dense[t - below];
        }
        const std::int32_t diagonal = matrix.entry(static_cast<std::int64_t>(t), 0);
        dense.push_back(value / diagonal);
        // Half a spacing of rounding a step, through the inverse.
        ASSERT_NEAR(static_cast<double>(rows[t][i]), dense.back(), InverseRowSum(matrix));
        // Exactly: C applied to the rows gives z back, but for half a diagonal entry.
        const std::int64_t residue =
            z[t][i] - Encoded(matrix, rows, static_cast<std::int64_t>(t), i);
        ASSERT_LE(std::abs(2 * residue), diagonal + 1);
      }
    }
  }
}

// What the guarantee rests on: x + noise can be computed from C x + z alone. Here by a decoder that
// sees nothing else.
TEST(CorrelatedNoise, IsAFunctionOfTheReleasedEncoding) {
  constexpr std::int64_t kSteps = 50;
  std::cout << "seed 82\n";
  std::mt19937_64 random(82);
  const BandedMatrix matrix = Matrix(kSteps, 6);
  CorrelatedNoise noise = Make(matrix, 82);
  const Rows z = DrawZ(kSteps, 82);
  Rows x;
  Rows noised;
  Rows decoded;
  Rows by_doubles;
  for (std::int64_t t = 0; t < kSteps; ++t) {
    x.emplace_back();
    for (std::int64_t i = 0; i < kDimension; ++i) {
      x.back().push_back(static_cast<std::int64_t>(random() % 2'000'001) - 1'000'000);
    }
    noised.push_back(Next(noise));
    decoded.emplace_back(static_cast<std::size_t>(kDimension));
    by_doubles.emplace_back(static_cast<std::size_t>(kDimension));
    for (std::size_t i = 0; i < x.back().size(); ++i) {
      noised.back()[i] += x.back()[i];
      const std::int64_t released = Encoded(matrix, x, t, i) + z[static_cast<std::size_t>(t)][i];
      const auto diagonal = static_cast<double>(matrix.entry(t, 0));
      // The rows of this step are still 0 in both.
      decoded.back()[i] = static_cast<std::int64_t>(
          std::floor((static_cast<double>(released - Encoded(matrix, decoded, t, i)) +
                      std::floor(diagonal / 2)) /
                     diagonal));
      // Broken variant: each step's noise rounded on its own from an unrounded inverse.
      by_doubles.back()[i] = std::llround(
          (static_cast<double>(released - Encoded(matrix, by_doubles, t, i)) + 0.4 * diagonal) /
          diagonal);
    }
  }
  EXPECT_EQ(noised, decoded);
  EXPECT_NE(noised, by_doubles);
}

// The models' noise, prefix sums of the rows, has the variance that the factorization promises.
TEST(CorrelatedNoise, PutsThePromisedErrorOnTheModels) {
  constexpr std::int64_t kSteps = 64;
  constexpr std::int64_t kMany = 40'000;
  for (const std::int64_t bands : {1, 8}) {
    const BandedMatrix matrix = Matrix(kSteps, bands);
    CorrelatedNoise noise = Make(matrix, 83, kMany);
    std::vector<double> model(kMany);
    double error = 0;
    for (std::int64_t t = 0; t < kSteps; ++t) {
      const Row row = Next(noise);
      for (std::size_t i = 0; i < model.size(); ++i) {
        model[i] += static_cast<double>(row[i]);
        error += model[i] * model[i] / (double{kMany} * kSteps);
      }
    }
    const double spacings = kSigma / BandedMatrix::kOne;
    const double expected = MeanSquaredError(matrix, {kSteps, 0}) * spacings * spacings;
    EXPECT_NEAR(error / expected, 1, 0.03) << bands;
  }
}

TEST(CorrelatedNoise, GoesOnFromItsState) {
  constexpr std::int64_t kSteps = 20;
  for (const std::int64_t bands : {1, 2, 6}) {
    const BandedMatrix matrix = Matrix(kSteps, bands);
    for (const std::int64_t stop : {0, 1, 3, 12, 20}) {
      SCOPED_TRACE(std::to_string(bands) + " bands, " + std::to_string(stop) + " steps");
      CorrelatedNoise noise = Make(matrix, 84);
      Rows rows;
      std::vector<security::SecretBytes> records;
      for (std::int64_t t = 0; t < stop; ++t) {
        rows.push_back(Next(noise));
        records.push_back(noise.SerializeLastRow());
      }
      const security::SecretBytes whole = noise.Serialize();
      std::vector<Bytes> last;  // of the last bands - 1 steps
      for (std::int64_t t = std::max<std::int64_t>(0, stop - std::max<std::int64_t>(1, bands - 1));
           t < stop; ++t) {
        last.push_back(records[static_cast<std::size_t>(t)].bytes());
      }
      if (last.empty()) last.push_back(whole.bytes());
      const std::vector<Bytes> one = {whole.bytes()};
      auto restored = CorrelatedNoise::Restore(matrix, kDimension, kSigma, StreamOfSeed(85), one);
      auto from_records =
          CorrelatedNoise::Restore(matrix, kDimension, kSigma, StreamOfSeed(85), last);
      ASSERT_TRUE(restored) << restored.error().message;
      ASSERT_TRUE(from_records) << from_records.error().message;
      EXPECT_EQ(restored->step(), stop);
      EXPECT_EQ(restored->Serialize(), whole);
      const Rows z = DrawZ(kSteps - stop, 85);  // fresh noise, never that of the first run
      for (std::int64_t t = stop; t < kSteps; ++t) {
        rows.push_back(Next(*restored));
        EXPECT_EQ(rows.back(), Next(*from_records));
        for (std::size_t i = 0; i < rows.back().size(); ++i) {
          const std::int64_t residue =
              z[static_cast<std::size_t>(t - stop)][i] - Encoded(matrix, rows, t, i);
          ASSERT_LE(std::abs(2 * residue), matrix.entry(t, 0) + 1);
        }
      }
      EXPECT_EQ(restored->Advance().error().code, base::Code::kFailedPrecondition);
    }
  }
}

TEST(CorrelatedNoise, RefusesStatesThatAreNotItsOwn) {
  const BandedMatrix matrix = Matrix(20, 4);
  CorrelatedNoise noise = Make(matrix, 86);
  std::vector<security::SecretBytes> records;
  for (int t = 0; t < 8; ++t) {
    Next(noise);
    records.push_back(noise.SerializeLastRow());
  }
  const auto code = [&](const std::vector<Bytes>& states, const BandedMatrix& of,
                        std::int64_t dimension = kDimension, double sigma = kSigma) {
    const auto restored = CorrelatedNoise::Restore(of, dimension, sigma, StreamOfSeed(87), states);
    return restored ? base::Code::kOk : restored.error().code;
  };
  const auto record = [&](std::size_t t) { return records[t].bytes(); };
  EXPECT_EQ(code({record(5), record(6), record(7)}, matrix), base::Code::kOk);
  EXPECT_EQ(code({record(1), record(2), record(3), record(4)}, matrix), base::Code::kOk);
  for (const std::vector<Bytes>& wrong :
       std::vector<std::vector<Bytes>>{{},
                                       {record(6), record(7)},             // too few
                                       {record(4), record(5), record(7)},  // a gap
                                       {record(5), record(7), record(6)},  // out of order
                                       {record(5), record(6), record(6)}}) {
    EXPECT_EQ(code(wrong, matrix), base::Code::kDataLoss);
  }
  const security::SecretBytes whole = noise.Serialize();
  EXPECT_EQ(code({whole.bytes()}, matrix), base::Code::kOk);
  EXPECT_EQ(code({whole.bytes()}, Matrix(20, 4, 0.9)), base::Code::kDataLoss);
  EXPECT_EQ(code({whole.bytes()}, matrix, kDimension + 1), base::Code::kDataLoss);
  EXPECT_EQ(code({whole.bytes()}, matrix, kDimension, kSigma * 1.5), base::Code::kDataLoss);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_EQ(code({whole.bytes().first(size)}, matrix), base::Code::kDataLoss) << size;
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    security::SecretBytes altered = whole.Clone();
    altered.mutable_bytes()[i] ^= 0x80;
    ASSERT_EQ(code({altered.bytes()}, matrix), base::Code::kDataLoss) << i;
  }
  CorrelatedNoise other = Make(matrix, 88);
  for (int t = 0; t < 7; ++t) Next(other);
  const security::SecretBytes mixed = other.SerializeLastRow();
  EXPECT_EQ(code({record(4), record(5), mixed.bytes()}, matrix), base::Code::kDataLoss);
}

// A state whose digest was made anew by someone who can: numbers and counts are bounded all the
// same.
TEST(CorrelatedNoise, BoundsWhatAStateSays) {
  const BandedMatrix matrix = Matrix(20, 4);
  CorrelatedNoise noise = Make(matrix, 89);
  for (int t = 0; t < 5; ++t) Next(noise);
  constexpr std::size_t kFirstRow = 88;
  constexpr std::size_t kRows = 96;
  constexpr std::size_t kNumbers = 104;
  for (const auto& [at, value] :
       std::vector<std::pair<std::size_t, std::int64_t>>{{kNumbers, std::int64_t{1} << 62},
                                                         {kNumbers + 8, INT64_MIN},
                                                         {kFirstRow, -1},
                                                         {kFirstRow, INT64_MAX},
                                                         {kFirstRow, 18},
                                                         {kRows, INT64_MAX},
                                                         {kRows, -1},
                                                         {kRows, 4}}) {
    security::SecretBytes forged = noise.Serialize();
    const auto bytes = forged.mutable_bytes();
    std::memcpy(bytes.data() + at, &value, sizeof value);
    const auto digest = security::HashBytes(bytes.first(bytes.size() - 32));
    std::copy(digest.begin(), digest.end(), bytes.end() - 32);
    const std::vector<Bytes> states = {forged.bytes()};
    const auto restored =
        CorrelatedNoise::Restore(matrix, kDimension, kSigma, StreamOfSeed(90), states);
    ASSERT_FALSE(restored) << at << " " << value;
    EXPECT_EQ(restored.error().code, base::Code::kDataLoss);
  }
}

TEST(CorrelatedNoise, RefusesWhatCouldOverflow) {
  const BandedMatrix matrix = Matrix(20, 4);
  const auto create = [](const BandedMatrix& of, std::int64_t dimension, double sigma) {
    return CorrelatedNoise::Create(of, dimension, sigma, StreamOfSeed(91)).has_value();
  };
  EXPECT_TRUE(create(matrix, 1, 0x1p40));
  for (const double sigma : {0.0, 15.9, 0x1p41, std::nan(""), -1.0}) {
    EXPECT_FALSE(create(matrix, 1, sigma)) << sigma;
  }
  EXPECT_FALSE(create(matrix, 0, 1e6));
  EXPECT_FALSE(create(matrix, INT64_MAX, 1e6));
  // An inverse that grows without bound.
  std::vector<double> columns;
  for (int j = 0; j < 200; ++j) columns.insert(columns.end(), {0.1, 0.9});
  const auto wild = BandedMatrix::FromColumns(200, 2, columns);
  ASSERT_TRUE(wild);
  EXPECT_FALSE(create(*wild, 1, 1e6));
}

}  // namespace
}  // namespace cloister::dp
