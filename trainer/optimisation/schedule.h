#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace cloister::trainer {

// How the learning rate moves over a run of known length: up in a straight line over the first
// steps, then as its shape says. A function of public numbers alone.
struct Schedule {
  enum class Shape { kConstant, kLinear, kCosine };

  Shape shape = Shape::kConstant;
  std::int64_t warmup_steps = 0;
  double final_share = 0;  // of the learning rate, that kLinear and kCosine come down to

  // The share of the learning rate that step 1 <= step <= steps takes, in (0, 1] but for a
  // final_share of 0: step / warmup_steps at first; then 1 - x (1 - final_share), or the same with
  // (1 - cos(pi x)) / 2 for x, where x is the part of the steps after the warm-up that lies before
  // this one (Loshchilov and Hutter 2017, without restarts).
  double ShareAt(std::int64_t step, std::int64_t steps) const;
};

std::string_view ShapeName(Schedule::Shape shape);
// kInvalidArgument for another name.
base::Result<Schedule::Shape> ParseShape(std::string_view name);

}  // namespace cloister::trainer
