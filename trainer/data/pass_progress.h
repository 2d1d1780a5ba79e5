#pragma once

#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/progress.h"

namespace cloister::trainer {

// Progress of a pass over all records. With Timing::kHidden, of private data, a terminal alone is
// told: the total says how many there are. Of a pass that is short nothing is told.
class PassProgress {
 public:
  PassProgress(const std::string& title, std::uint64_t total, std::uint64_t shown_from,
               const std::string& unit, base::Timing timing) {
    const bool told = timing == base::Timing::kShown || ::isatty(STDERR_FILENO) == 1;
    if (told && total >= shown_from) progress_.emplace(title, total, unit, timing);
  }
  void Update(std::uint64_t done) {
    if (progress_) progress_->Update(done);
  }
  void Finish() {
    if (progress_) progress_->Finish();
  }

 private:
  std::optional<base::Progress> progress_;
};

}  // namespace cloister::trainer
