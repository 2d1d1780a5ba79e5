#include "trainer/memory_gate.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/memory.h"

namespace cloister::trainer {
namespace {

// Passes over the same number of tokens differ in their answers, and what is measured is what the
// process took beyond what it held free.
constexpr double kReserve = 1.5;
// A short first pass says little of a long one.
constexpr std::int64_t kLeastTokens = 16;

// Bytes that a pass took: none where the system does not tell.
MemoryGate::Meter SystemMeter() {
  auto before = std::make_shared<std::optional<std::int64_t>>();
  return {
      .available = base::AvailableMemory,
      .begin =
          [before] { *before = base::ResetPeakMemory() ? base::ResidentMemory() : std::nullopt; },
      .end = [before]() -> std::optional<std::int64_t> {
        const auto peak = base::PeakMemory();
        if (!*before || !peak) return std::nullopt;
        return *peak - **before;
      }};
}

}  // namespace

MemoryGate::MemoryGate() : MemoryGate(SystemMeter()) {}

std::int64_t MemoryGate::Needed(std::int64_t tokens) const {
  return static_cast<std::int64_t>(kReserve * *bytes_a_token_ *
                                   static_cast<double>(std::max(tokens, kLeastTokens)));
}

bool MemoryGate::Fits(std::int64_t tokens) const {
  if (running_ == 0) return true;
  if (!bytes_a_token_ || measuring_) return false;
  const auto available = meter_.available();
  return !available || reserved_ + Needed(tokens) <= *available;
}

std::int64_t MemoryGate::SideBySide(std::int64_t passes, std::int64_t tokens) {
  const std::lock_guard lock(mutex_);
  if (!bytes_a_token_) return 1;
  const auto available = meter_.available();
  const std::int64_t needed = Needed(tokens);
  if (!available || needed <= 0) return passes;
  return std::clamp<std::int64_t>(*available / needed, 1, passes);
}

void MemoryGate::Enter(std::int64_t tokens) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return Fits(tokens); });
  ++running_;
  if (!bytes_a_token_) {
    measuring_ = true;
    meter_.begin();
  } else {
    reserved_ += Needed(tokens);
  }
}

void MemoryGate::Leave(std::int64_t tokens) {
  const std::lock_guard lock(mutex_);
  --running_;
  if (measuring_) {
    measuring_ = false;
    const auto taken = meter_.end();
    const auto least = static_cast<double>(std::max(tokens, kLeastTokens));
    bytes_a_token_ = taken ? static_cast<double>(std::max<std::int64_t>(*taken, 0)) / least : 0;
  } else {
    reserved_ -= Needed(tokens);
  }
  changed_.notify_all();
}

}  // namespace cloister::trainer
