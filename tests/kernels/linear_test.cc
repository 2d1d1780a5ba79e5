#include "kernels/cpu/linear.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/kernels/random_data.h"

namespace cloister::kernels::cpu {
namespace {

TEST(ThreadPoolTest, EveryItemIsDoneOnce) {
  for (int threads = 1; threads <= 5; ++threads) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (std::int64_t count = 0; count < 200; ++count) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(count));
      pool.Run(count, 1 + count % 7, [&](int thread, std::int64_t begin, std::int64_t end) {
        EXPECT_GE(thread, 0);
        EXPECT_LT(thread, threads);
        for (std::int64_t i = begin; i < end; ++i) ++done[static_cast<std::size_t>(i)];
      });
      for (const auto& item : done) ASSERT_EQ(item.load(), 1);
    }
  }
}

TEST(ThreadPoolTest, ResultsAreVisibleWhenRunReturns) {
  ThreadPool pool(3);
  std::vector<std::int64_t> values(300);  // not atomic: Run orders the accesses
  for (int round = 0; round < 2000; ++round) {
    pool.Run(300, 10, [&](int, std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) values[static_cast<std::size_t>(i)] += i;
    });
  }
  for (std::int64_t i = 0; i < 300; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], 2000 * i);
}

TEST(ThreadPoolTest, APoolWithoutWorkEnds) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(4);
}

// Two weights of different types behind each other, by any number of threads: always the same bits,
// and the bits of the matrix kernels themselves.
TEST(LinearTest, ThreadsDoNotChangeTheBits) {
  RandomData random(21);
  const Kernels& kernels = **Select(BestTier());
  const std::int64_t columns = 256;
  const std::int64_t tokens = 5;
  constexpr int kWeights = 3;
  const model::DataType types[] = {model::DataType::kQ8_0, model::DataType::kF16,
                                   model::DataType::kQ4_K};
  const std::int64_t rows[] = {70, 45, 33};
  std::vector<std::byte> bytes[kWeights];
  model::TensorView weights[kWeights];
  for (int i = 0; i < kWeights; ++i) {
    const std::int64_t size = rows[i] * columns;
    bytes[i].resize(
        static_cast<std::size_t>(size / model::BlockSize(types[i]) * model::BlockBytes(types[i])));
    model::Quantize(types[i], random.Floats(size).data(), bytes[i].data(), size);
    weights[i] = {types[i], {rows[i], columns}, bytes[i]};
  }
  const std::vector<float> x = random.Floats(tokens * columns);
  std::vector<float> expected[kWeights];
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    Activations input;
    input.Resize(tokens, columns);
    std::copy(x.begin(), x.end(), input.row(0));
    std::vector<float> output[kWeights];
    for (int i = 0; i < kWeights; ++i)
      output[i].resize(static_cast<std::size_t>(tokens * rows[i]), -1.0f);
    const Product products[] = {{&weights[0], output[0].data(), rows[0]},
                                {&weights[1], output[1].data(), rows[1]},
                                {&weights[2], output[2].data(), rows[2]}};
    Linear(kernels, pool, input, products);
    for (int i = 0; i < kWeights; ++i) {
      if (threads == 1) expected[i] = output[i];
      EXPECT_EQ(output[i], expected[i]);
    }
  }
  const float last = kernels.dot(x.data(), model::ToFloat(weights[1]).data(), columns);
  EXPECT_NEAR(expected[1][0], last, 1e-3);
}

// Products of some of the rows have the bits that products of all rows have there.
TEST(LinearTest, AProductMayReadSomeOfTheRows) {
  RandomData random(23);
  const Kernels& kernels = **Select(BestTier());
  constexpr std::int64_t kTokens = 9, kRows = 20, kColumns = 256;
  for (const model::DataType type :
       {model::DataType::kF32, model::DataType::kQ8_0, model::DataType::kQ4_K}) {
    constexpr std::int64_t kSize = kRows * kColumns;
    std::vector<std::byte> bytes(
        static_cast<std::size_t>(kSize / model::BlockSize(type) * model::BlockBytes(type)));
    model::Quantize(type, random.Floats(kSize).data(), bytes.data(), kSize);
    const model::TensorView weight = {type, {kRows, kColumns}, bytes};
    ThreadPool pool(2);
    Activations input;
    input.Resize(kTokens, kColumns);
    const std::vector<float> x = random.Floats(kTokens * kColumns);
    std::copy(x.begin(), x.end(), input.row(0));
    std::vector<float> all(kTokens * kRows), parts(kTokens * kRows, -1.0f);
    const Product whole{&weight, all.data(), kRows};
    Linear(kernels, pool, input, {&whole, 1});
    const Product pieces[] = {{&weight, parts.data(), kRows, 0, 2},
                              {&weight, parts.data() + 2 * kRows, kRows, 2, 5},
                              {&weight, parts.data() + 7 * kRows, kRows, 7}};
    Linear(kernels, pool, input, pieces);
    EXPECT_EQ(parts, all);
  }
}

// Rounded forms belong to the values of one Resize.
TEST(LinearTest, ActivationsThatChangeAreRoundedAnew) {
  RandomData random(22);
  const Kernels& kernels = **Select(BestTier());
  for (const model::DataType type : {model::DataType::kQ4_0, model::DataType::kQ6_K}) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(256 / model::BlockSize(type)) *
                                 static_cast<std::size_t>(model::BlockBytes(type)));
    model::Quantize(type, random.Floats(256).data(), bytes.data(), 256);
    const model::TensorView weight = {type, {1, 256}, bytes};
    ThreadPool pool(1);
    Activations input;
    float output[2] = {};
    for (int round = 0; round < 2; ++round) {
      input.Resize(1, 256);
      std::fill_n(input.row(0), 256, static_cast<float>(round + 1));
      const Product product{&weight, &output[round], 1};
      Linear(kernels, pool, input, {&product, 1});
    }
    EXPECT_EQ(output[1], 2 * output[0]);
  }
}

}  // namespace
}  // namespace cloister::kernels::cpu
