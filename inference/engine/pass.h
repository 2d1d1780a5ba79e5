#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "inference/engine/kv_cache.h"
#include "inference/engine/rotation.h"
#include "inference/engine/weights.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/thread_pool.h"
#include "model/architecture.h"

namespace cloister::inference {

// Rows that a thread takes at once from loops over tokens, and queries whose scores it holds.
inline constexpr std::int64_t kTokenGrain = 8;

// What the parts of a layer share during one pass over a batch of tokens. Not thread-safe.
class Pass {
 public:
  Pass(const model::Architecture& architecture, const kernels::cpu::Kernels& kernels, int threads,
       std::int64_t context, std::int64_t max_batch);

  const model::Architecture& architecture() const { return architecture_; }
  const kernels::cpu::Kernels& kernels() const { return kernels_; }
  kernels::cpu::ThreadPool& pool() { return pool_; }
  Rotation& rotation() { return rotation_; }

  // Scores of thread `thread`: [kTokenGrain, score_stride()].
  float* scores(int thread) { return scores_[static_cast<std::size_t>(thread)].get(); }
  std::int64_t score_stride() const { return score_stride_; }

  // output[t, out] = W input[t] + b, for one weight or for several of the same input.
  struct Output {
    const LinearWeights* weights = nullptr;
    float* to = nullptr;  // [tokens, out]
  };
  void Linear(kernels::cpu::Activations& input, std::span<const Output> outputs);
  void Linear(kernels::cpu::Activations& input, const LinearWeights& weights, float* to) {
    const Output output{&weights, to};
    Linear(input, {&output, 1});
  }

  // Calls `row` for each of `count` rows, by several threads.
  template <typename Row>
  void ForRows(std::int64_t count, const Row& row) {
    pool_.Run(count, kTokenGrain, [&](int, std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) row(t);
    });
  }

 private:
  const model::Architecture& architecture_;
  const kernels::cpu::Kernels& kernels_;
  kernels::cpu::ThreadPool pool_;
  Rotation rotation_;
  std::int64_t score_stride_;
  std::vector<std::unique_ptr<float[]>> scores_;
};

}  // namespace cloister::inference
