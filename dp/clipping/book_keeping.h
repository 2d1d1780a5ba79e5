#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "dp/clipping/clip_rule.h"
#include "dp/clipping/gradient_observer.h"
#include "dp/clipping/parameter_shape.h"
#include "dp/clipping/unit_gradient.h"
#include "dp/mechanism/clipped_sum.h"

namespace cloister::dp::clipping {

// Book-keeping clipping (Bu et al. 2023): from one ordinary backward pass over the examples of a
// privacy unit it takes the norm of the unit's gradient, scales the gradient by `rule`, and adds it
// to one fp64 sum. A unit's gradient of a large matrix is never held.
//
//   BookKeeping engine = BookKeeping::Create(shapes, options);
//   for each drawn unit: forward, then backward of the sum of its examples' losses with the engine
//                        as observer; engine.EndUnit()
//   dp::ClippedSum sum = std::move(engine).Finish();
//
// A unit too large for one pass comes in parts: EndPart() after each but the last. Its gradient is
// then held once, in fp64.
//
// Guarantee (docs/design/0005-clipping.md): each unit's contribution, as computed, has L2 norm at
// most rule.Sensitivity() + summation_error; a unit with a non-finite gradient contributes zero.
// Not thread-safe.
class BookKeeping : public GradientObserver {
 public:
  struct Options {
    ClipRule rule;
    PrivacyUnit unit{};
    Neighbours neighbours{};
    NormMethod method = NormMethod::kCheapest;
    // Above 0: the sum has one more value at its end, count_weight times (the number of units whose
    // norm's bound is at most the clip norm, less half the number of units). One release of both is
    // one Gaussian mechanism (Andrew et al. 2021, section 3; CountWeight in clip_rule.h). kFlat
    // alone.
    double count_weight = 0;
    // The sum is in units of the clip norm: a unit's contribution has norm 1 at most. For a norm
    // that changes from sum to sum under one mechanism. kFlat alone.
    bool normalized = false;
  };
  // More units than this in one sum are refused: the summation error is stated for so many.
  static constexpr std::int64_t kMaxUnits = std::int64_t{1} << 18;

  // `shapes` must not overlap. kInvalidArgument as ClipRule::Validate, and for a count with another
  // rule than kFlat.
  static base::Result<BookKeeping> Create(std::vector<ParameterShape> shapes,
                                          const Options& options);

  void ObserveMatrix(std::int64_t parameter, const at::Tensor& left,
                     const at::Tensor& right) override;
  void ObserveLookup(std::int64_t parameter, const at::Tensor& ids,
                     const at::Tensor& values) override;
  void ObserveVector(std::int64_t parameter, const at::Tensor& values) override;

  // What was observed since the last call is a part of a unit, and more of it follows. For unit
  // "user" alone.
  void EndPart();

  // The norm of the unit's gradient over all parameters.
  struct Norm {
    double computed = 0;  // before the safety bound
    double bound = 0;     // what was clipped by
  };
  // Clips and adds the unit whose last part was observed since the last call. kOutOfRange past
  // kMaxUnits.
  base::Result<Norm> EndUnit();

  ClippedSum Finish() &&;

  // Of a unit with the count's part.
  double sensitivity() const;
  // L2 bound on computed minus exact, whatever the data: sensitivity * kMaxUnits^2 * 2^-53 and a
  // bit.
  double summation_error() const;

 private:
  BookKeeping(std::vector<ParameterShape> shapes, std::int64_t parameters, std::int64_t groups,
              const Options& options);
  std::vector<NormBound> BufferNorms() const;

  std::shared_ptr<const std::vector<ParameterShape>> shapes_;
  std::int64_t parameters_;
  std::int64_t groups_;
  Options options_;
  UnitGradient unit_;
  at::Tensor buffer_;  // fp64 [parameters]: the parts of a unit; undefined where it has one
  bool buffered_ = false;
  at::Tensor sum_;  // fp64 [parameters (+ 1)]
  std::int64_t units_ = 0;
};

}  // namespace cloister::dp::clipping
