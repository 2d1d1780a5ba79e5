#pragma once

#include <optional>
#include <span>
#include <vector>

#include "dp/accounting/privacy_loss.h"
#include "dp/accounting/saddle_point.h"

namespace cloister::dp {

// The loss of one step of each kind, for a search that asks for much the same resolution again and
// again: what is there already is given where it is fine enough and not much finer. Not
// thread-safe.
class StepLosses {
 public:
  // `kinds` must outlive it.
  StepLosses(std::span<const Kind> kinds, Direction direction)
      : kinds_(kinds), direction_(direction) {}

  // Of cells and tails that are at most those of `wanted`, in the order of the kinds. Valid until
  // the next call.
  const std::vector<PrivacyLoss>& AsFineAs(const Resolution& wanted);

 private:
  std::span<const Kind> kinds_;
  Direction direction_;
  std::optional<Resolution> made_;
  std::vector<PrivacyLoss> losses_;
};

}  // namespace cloister::dp
