#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "dp/clipping/book_keeping.h"
#include "dp/clipping/gradient_observer.h"
#include "dp/clipping/norm_bound.h"
#include "dp/clipping/unit_gradient.h"

namespace cloister::dp::clipping {

// Clips one privacy unit after the other, and adds each to a sum. A unit too large for one pass
// comes in parts: EndPart() after each but the last. Its gradient is then held, in fp64: once for
// each clipper where that is small, else once for all of a sum's, which take turns.
// Not thread-safe; several may add to one sum, which must outlive them.
class UnitClipper : public GradientObserver {
 public:
  explicit UnitClipper(BookKeeping& sum);

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
  // BookKeeping::kMaxUnits.
  base::Result<Norm> EndUnit();

 private:
  std::vector<NormBound> BufferNorms() const;

  BookKeeping& sum_;
  UnitGradient unit_;
  at::Tensor buffer_;  // fp64 [parameters]: the parts of a unit; undefined where none came in parts
  std::unique_lock<std::mutex> turn_;  // while buffer_ is the sum's
  bool buffered_ = false;
};

}  // namespace cloister::dp::clipping
