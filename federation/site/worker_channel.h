#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "federation/worker/messages.h"

namespace cloister::federation::site {

// The daemon's view of its worker, which alone opens the data. Calls block and come from one
// thread; Interrupt may come from any.
class WorkerChannel {
 public:
  virtual ~WorkerChannel() = default;

  virtual base::Result<worker::Opened> Open(const worker::Open& open) = 0;
  virtual base::Result<worker::Evaluated> Evaluate(std::span<const float> parameters) = 0;

  struct NoisedUpdate {
    std::vector<std::int64_t> values;  // lattice units; already paid for in the site's ledger
    worker::Update privacy;
  };
  virtual base::Result<NoisedUpdate> Train(const worker::Train& train,
                                           std::span<const float> parameters) = 0;

  // Makes a blocked call return an error at once; no later call succeeds.
  virtual void Interrupt() = 0;
};

}  // namespace cloister::federation::site
