#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "base/result.h"
#include "trainer/distributed/placement.h"

namespace cloister::trainer {

// How long ranks wait for one another.
struct Patience {
  std::chrono::milliseconds arrival = std::chrono::minutes(5);  // of all ranks, at the start
  // Without a sign of life a rank is lost; and so long may one piece of a transfer take.
  std::chrono::milliseconds silence = std::chrono::seconds(20);
  std::chrono::milliseconds beat = std::chrono::seconds(1);  // between two signs of life
  // What is done where the meeting place itself does not answer and calls to it do not come back:
  // by default the process says why and ends with exit code 1.
  std::function<void(const std::string& why)> last_resort;
};

// For whoever started the ranks: tells those at `place` that `rank` is lost, and why. Nothing where
// none of them can be told.
void TellLost(const Placement& place, std::int64_t rank, const base::Error& why);

// Where the ranks of a run find each other, wait for each other and learn how others fare: a
// TCPStore of c10d that the first rank, or torchrun's agent, serves. A thread of each rank tells
// that it is alive and looks whether the others are; the first rank judges who is lost.
//
// Not thread-safe, but for RequestStop(), GoOn() and failure().
class MeetingPlace {
 public:
  // Returns when all ranks have come. kUnavailable naming those that did not within
  // `patience.arrival`; kAlreadyExists where two processes are one rank.
  static base::Result<std::unique_ptr<MeetingPlace>> Open(const Placement& place,
                                                          const Patience& patience);
  ~MeetingPlace();

  // Waits until every rank is in the same `call`, each with how its work before went. Done where
  // all was, else what the lowest rank says whose was not: with "rank N: " before it on the others.
  // kInternal where they are not in the same call.
  base::Status Meet(const std::string& call, base::Status own);

  // Why the run cannot go on, where it is known.
  base::Status failure() const;
  // A transfer broke off, for whatever reason `how` says: waits until it is known which rank is
  // lost, and returns that, or that none is.
  base::Status Broken(const std::string& how);

  void RequestStop();
  bool GoOn() const { return !stop_ && !failed_; }

  // Tells the others why this rank ends, where it is not because of them, and waits a while for
  // them where they need the store that this process serves.
  base::Status Leave(base::Status own);

  // For others' keys.
  c10::intrusive_ptr<c10d::Store> store() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Connections;
  MeetingPlace(const Placement& place, const Patience& patience,
               std::unique_ptr<Connections> connections);

  base::Status Arrive();
  // Waits for `key`; by `deadline`, where there is one, else kDeadlineExceeded.
  base::Status Await(const std::string& key, std::optional<Clock::time_point> deadline);
  base::Status Verdict(base::Status own);
  base::Status OutOfReach(const std::string& how);
  void NoteOutOfReach(const std::string& how);
  void Note(base::Error error);

  // The one thread's, which talks to the store, and the other's, which needs no answer of it.
  void Live();
  void Guard();
  void Listen(std::int64_t beat);
  void Judge();
  // False once `ended` is.
  bool Rest(std::chrono::milliseconds time, const bool& ended);

  // When each other rank was last heard of, and what it said.
  struct Sign {
    std::int64_t beat = 0;
    Clock::time_point heard;
  };

  Placement place_;
  Patience patience_;
  std::unique_ptr<Connections> connections_;
  std::int64_t meetings_ = 0;
  std::vector<Sign> signs_;  // the living thread's
  std::atomic<bool> stop_ = false, asked_ = false, failed_ = false, suspect_ = false;
  std::atomic<Clock::time_point> answered_;  // when the store last answered
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<base::Error> failure_;  // under mutex_, as is
  bool ended_ = false, unguarded_ = false;
  bool agreed_ = false;  // all know of an error already
  std::thread life_, guard_;
};

}  // namespace cloister::trainer
