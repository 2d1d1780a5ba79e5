#include "trainer/optimisation/parameter_average.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "base/check.h"
#include "trainer/optimisation/moving.h"

namespace cloister::trainer {

void ParameterAverage::Add(std::span<const float> parameters, std::int64_t step) {
  CLOISTER_CHECK(parameters.size() == values_.size() && step > 0);
  const auto t = static_cast<double>(step);
  const auto way = static_cast<float>(1 - std::min(decay_, (1 + t) / (10 + t)));
  float* const average = values_.data();
  const float* const now = parameters.data();
  at::parallel_for(0, static_cast<std::int64_t>(values_.size()), kGrain,
                   [=](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       average[i] += way * (now[i] - average[i]);
                     }
                   });
}

}  // namespace cloister::trainer
