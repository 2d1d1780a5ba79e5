#include "dp/accounting/step_losses.h"

namespace cloister::dp {
namespace {

constexpr double kMuchFiner = 1.5;   // of cells, which cost time in proportion
constexpr double kSmallTail = 1e-6;  // of tails, which cost it by their logarithm
constexpr double kRoom = 0.85;       // of a cell that is asked for after another one

}  // namespace

const std::vector<PrivacyLoss>& StepLosses::AsFineAs(const Resolution& wanted) {
  if (made_ && made_->cell <= wanted.cell && made_->cell * kMuchFiner >= wanted.cell &&
      made_->tail <= wanted.tail && made_->tail >= kSmallTail * wanted.tail) {
    return losses_;
  }
  Resolution made = wanted;
  if (made_) made.cell *= kRoom;  // the next one may be a little finer again
  losses_.clear();
  for (const Kind& kind : kinds_) losses_.push_back(StepLoss(kind.event, direction_, made));
  made_ = made;
  return losses_;
}

}  // namespace cloister::dp
