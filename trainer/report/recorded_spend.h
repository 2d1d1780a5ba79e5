#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dp/mechanism/event.h"

namespace cloister::trainer {

// What a private run has spent, as its ledger has it.
struct RecordedSpend {
  // Equal events are one with more steps, as where the ledger composes them.
  void Add(const dp::Event& event);
  std::vector<dp::Event> Events() const;

  std::string data_set;  // the ledger's name for the units: a hash under the ledger's key

 private:
  struct Repeated {
    dp::Event event;
    std::int64_t times = 0;
  };
  std::vector<Repeated> spends_;
};

}  // namespace cloister::trainer
