#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "dp/clipping/clip_rule.h"
#include "dp/clipping/matrix_gradient.h"
#include "dp/clipping/parameter_shape.h"
#include "dp/mechanism/clipped_sum.h"

namespace cloister::dp::clipping {

class UnitGradient;

// The sum of book-keeping clipping (Bu et al. 2023): from one ordinary backward pass over the
// examples of a privacy unit a UnitClipper takes the norm of the unit's gradient, scales the
// gradient by `rule`, rounds it to a lattice and adds it here. A unit's gradient of a large matrix
// is never held.
//
//   BookKeeping sum = BookKeeping::Create(shapes, options);
//   UnitClipper unit(sum);                     one for each thread
//   for each drawn unit: forward, then backward of the sum of its examples' losses with `unit` as
//                        observer; unit.EndUnit()
//   dp::ClippedSum clipped = std::move(sum).Finish();
//
// Guarantee (docs/design/0005-clipping.md): each unit's contribution, as added, has L2 norm at most
// sensitivity() + excess(); a unit with a non-finite gradient contributes zero. The sum is exact,
// so the order of the units and the threads that they come from do not show in it. Thread-safe but
// for Finish().
class BookKeeping {
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
    // Of the lattice; 0: sensitivity() / 2^24.
    double spacing = 0;
  };
  static constexpr std::int64_t kMaxUnits = ClippedSum::kMaxUnits;  // of one sum

  // `shapes` must not overlap. kInvalidArgument as ClipRule::Validate, for a count with another
  // rule than kFlat, and for a spacing below sensitivity() / 2^26 or not finite.
  // The sum takes the memory of `spare` where it fits (LatticeSum).
  static base::Result<BookKeeping> Create(std::vector<ParameterShape> shapes,
                                          const Options& options, LatticeSum spare = LatticeSum(0));

  ClippedSum Finish() &&;

  // Of a unit with the count's part.
  double sensitivity() const;
  // What rounding to the lattice adds to it at most.
  double excess() const;

 private:
  friend class UnitClipper;
  struct Guards;

  BookKeeping(std::vector<ParameterShape> shapes, std::int64_t parameters, std::int64_t groups,
              const Options& options, LatticeSum spare);
  // The right to buffer_.
  std::unique_lock<std::mutex> TakeTurn();
  // One more unit, whose norm is at most `bound`. kOutOfRange past kMaxUnits.
  base::Status Count(double bound);
  // A unit's gradient, group by group times `factors`.
  void Add(const UnitGradient& gradient, std::span<const double> factors);
  void Add(const at::Tensor& gradient, std::span<const double> factors);  // fp64 [parameters]
  // Numbers of a parameter's gradient times `factor`.
  void AddPiece(std::size_t parameter, std::int64_t offset, const Numbers& numbers, double factor);

  std::shared_ptr<const std::vector<ParameterShape>> shapes_;
  std::int64_t parameters_;
  std::int64_t groups_;
  Options options_;
  LatticeSum sum_;
  std::shared_ptr<Guards> guards_;
  at::Tensor buffer_;  // of a UnitClipper whose buffer is too large for each to have one
  std::int64_t units_ = 0;
};

}  // namespace cloister::dp::clipping
