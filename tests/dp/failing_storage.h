#pragma once

#include <cstdint>

namespace cloister::dp {

// Storage under SQLite that stops this process at a chosen moment, as a crash would. It stands
// between SQLite and the disk, counts what is asked of it (write, sync, truncate, delete) and at
// the given one, counted from 1, ends the process with SIGKILL: nothing runs afterwards, no
// destructor and no flush.
struct Crash {
  enum class Kind {
    // The process alone dies, in the middle of the operation: of a write the first half is there.
    kKill,
    // The power goes: what was written since a file's last sync never reached the disk, nor did the
    // removal of a file whose folder was not synced after …
    kPowerCut,
    // … or every second piece of it did, the last one by half.
    kTornPowerCut,
  };
  Kind kind{};
  std::int64_t at = 0;
  // The broken variant: syncs are acknowledged and not done.
  bool ignore_syncs = false;
};

// Makes this storage SQLite's default in this process, for good: call it in a child. The power
// cuts hold for files that SQLite alone writes.
void InstallFailingStorage(const Crash& crash);

}  // namespace cloister::dp
