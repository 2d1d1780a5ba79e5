#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "security/secret_bytes.h"
#include "trainer/checkpoint/checkpoint_folder.h"

namespace cloister::trainer {

// A checkpoint that is to be written: what changes from now on is copied first, so that the run
// goes on while it is.
struct CheckpointToWrite {
  CheckpointHeader header;
  CheckpointArrays copied;                                // that others will change
  std::map<std::string, std::vector<std::uint8_t>> kept;  // its own
  std::optional<security::SecretBytes> key;
};

// Writes checkpoints into a folder on a thread of its own, one at a time: a second waits for the
// first. While one is written it takes the memory of `copied` once more; where the system has not
// twice as much left, it is written before Start() returns, without a copy. Not thread-safe.
class BackgroundWriter {
 public:
  // Bytes that the system has left; nullopt where it does not say.
  using Available = std::optional<std::int64_t> (*)();
  BackgroundWriter();
  explicit BackgroundWriter(Available available) : available_(available) {}

  // What became of one.
  struct Written {
    CheckpointHeader header;  // without its events
    base::Status status;
  };
  // Begins to write into `folder`, which must stay where it is. Returns what became of the one
  // before, for which it waits, and of this one, where it is done already.
  std::vector<Written> Start(CheckpointFolder& folder, CheckpointToWrite checkpoint);
  // The step of the one that is being written, or was and has not been asked after; -1: none.
  std::int64_t pending() const { return pending_ ? pending_->first.step : -1; }
  // What became of it, if it is done or `wait`; nothing where there is none.
  std::optional<Written> Collect(bool wait);

 private:
  Available available_;
  // Waits for its thread when it is destroyed.
  std::optional<std::pair<CheckpointHeader, std::future<base::Status>>> pending_;
};

}  // namespace cloister::trainer
