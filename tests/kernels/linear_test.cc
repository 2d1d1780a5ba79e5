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
  const std::int64_t columns = 96;
  const std::int64_t tokens = 5;
  const model::DataType types[] = {model::DataType::kQ8_0, model::DataType::kF16};
  const std::int64_t rows[] = {70, 45};
  std::vector<std::byte> bytes[2];
  model::TensorView weights[2];
  for (int i = 0; i < 2; ++i) {
    const std::int64_t size = rows[i] * columns;
    bytes[i].resize(
        static_cast<std::size_t>(size / model::BlockSize(types[i]) * model::BlockBytes(types[i])));
    model::Quantize(types[i], random.Floats(size).data(), bytes[i].data(), size);
    weights[i] = {types[i], {rows[i], columns}, bytes[i]};
  }
  Activations input;
  input.Resize(tokens, columns);
  const std::vector<float> x = random.Floats(tokens * columns);
  std::copy(x.begin(), x.end(), input.row(0));
  for (std::int64_t t = 0; t < tokens; ++t) input.Quantize(kernels, t);

  std::vector<float> expected[2];
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    std::vector<float> output[2];
    for (int i = 0; i < 2; ++i) output[i].resize(static_cast<std::size_t>(tokens * rows[i]), -1.0f);
    const Product products[] = {{&weights[0], output[0].data(), rows[0]},
                                {&weights[1], output[1].data(), rows[1]}};
    Linear(kernels, pool, input, products);
    for (int i = 0; i < 2; ++i) {
      if (threads == 1) expected[i] = output[i];
      EXPECT_EQ(output[i], expected[i]);
    }
  }
  const float last = kernels.dot(x.data(), model::ToFloat(weights[1]).data(), columns);
  EXPECT_NEAR(expected[1][0], last, 1e-3);
}

}  // namespace
}  // namespace cloister::kernels::cpu
