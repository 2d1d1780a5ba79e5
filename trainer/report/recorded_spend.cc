#include "trainer/report/recorded_spend.h"

#include <algorithm>

namespace cloister::trainer {

void RecordedSpend::Add(const dp::Event& event) {
  const auto same = std::find_if(spends_.begin(), spends_.end(),
                                 [&](const Repeated& one) { return one.event == event; });
  if (same != spends_.end()) {
    ++same->times;
  } else {
    spends_.push_back({event, 1});
  }
}

std::vector<dp::Event> RecordedSpend::Events() const {
  std::vector<dp::Event> events;
  for (const Repeated& one : spends_) {
    dp::Event& event = events.emplace_back(one.event);
    event.steps *= one.times;
    event.delta_slack *= static_cast<double>(one.times);
  }
  return events;
}

}  // namespace cloister::trainer
