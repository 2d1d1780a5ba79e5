#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "dp/clipping/example_gradients.h"
#include "dp/clipping/lora_path.h"
#include "dp/mechanism/clipped_sum.h"

namespace cloister::dp::clipping {

// One low-rank path's shape and the place of its two matrices in the flat parameter vector.
struct PathShape {
  std::int64_t rank = 0, in = 0, out = 0;
  std::int64_t a_offset = 0;  // A [rank, in], row-major
  std::int64_t b_offset = 0;  // B [out, rank], row-major
};

// Book-keeping clipping (Bu et al. 2023) of LoRA gradients: from one ordinary backward pass over a
// micro-batch it takes each example's gradient norm, scales the example to norm at most
// `clip_norm`, and adds it to one fp64 sum. No per-sample gradient of the whole model is built.
//
//   BookKeeping engine(paths, parameters, options);
//   for each micro-batch: run forward with the engine as observer, backward of the SUM of the
//                         examples' losses (weight 1 each), then engine.EndMicroBatch()
//   dp::ClippedSum sum = std::move(engine).Finish();
//
// Guarantee (docs/design/0005-clipping.md): each example's contribution, as computed, has L2 norm
// at most clip_norm + summation_error; an example with a non-finite gradient contributes zero. One
// example is one privacy unit. Not thread-safe.
class BookKeeping : public PathObserver {
 public:
  struct Options {
    double clip_norm = 0;
    PrivacyUnit unit{};
    Neighbours neighbours{};
    NormMethod method = NormMethod::kCheapest;
  };
  // More units than this in one sum are refused: the summation error is stated for so many.
  static constexpr std::int64_t kMaxUnits = std::int64_t{1} << 18;

  // kUnimplemented for unit "user"; kInvalidArgument for a clip norm that is not positive.
  static base::Result<BookKeeping> Create(std::vector<PathShape> paths, std::int64_t parameters,
                                          const Options& options);

  void Observe(std::int64_t path, PathTensors tensors) override;

  // Norms of the examples of one micro-batch, over all paths.
  struct Norms {
    std::vector<double> computed;  // as computed, before the safety bound
    std::vector<double> bound;     // what was clipped by
  };
  // Clips and adds what was observed since the last call. Every path must have been seen once.
  base::Result<Norms> EndMicroBatch();

  ClippedSum Finish() &&;

  // L2 bound on computed minus exact, whatever the data: clip_norm * kMaxUnits^2 * 2^-53 and a bit.
  double summation_error() const;

 private:
  BookKeeping(std::vector<PathShape> paths, std::int64_t parameters, const Options& options);

  struct Observed {
    std::int64_t path = 0;
    ExampleGradients a, b;
  };

  std::vector<PathShape> paths_;
  Options options_;
  at::Tensor sum_;  // fp64 [parameters]
  std::int64_t units_ = 0;
  std::vector<Observed> observed_;
};

}  // namespace cloister::dp::clipping
