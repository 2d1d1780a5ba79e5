#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

namespace cloister::trainer {

// How many passes run beside one another, by the memory that there is: the first runs alone and is
// measured, later ones wait until what is left holds what they are expected to take. One may always
// run, so that nothing waits for ever. What a pass computes does not depend on it. Thread-safe.
class MemoryGate {
 public:
  // How the gate sees memory; the default is base/memory.h.
  struct Meter {
    std::function<std::optional<std::int64_t>()> available;  // bytes; nullopt: let everything run
    // Called before and after a pass that runs alone: bytes that it took at most.
    std::function<void()> begin;
    std::function<std::optional<std::int64_t>()> end;
  };
  MemoryGate();
  explicit MemoryGate(Meter meter) : meter_(std::move(meter)) {}

  // How many passes over so many tokens may run beside one another without asking further: 1 before
  // one has been measured, at most `passes`.
  std::int64_t SideBySide(std::int64_t passes, std::int64_t tokens);

  // Around a pass over so many tokens.
  void Enter(std::int64_t tokens);
  void Leave(std::int64_t tokens);

 private:
  std::int64_t Needed(std::int64_t tokens) const;
  bool Fits(std::int64_t tokens) const;

  Meter meter_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t running_ = 0;
  std::int64_t reserved_ = 0;  // of those that run
  bool measuring_ = false;
  std::optional<double> bytes_a_token_;  // 0 where it cannot be measured
};

// Enters, and leaves at the end of its scope.
class MemoryGatePass {
 public:
  MemoryGatePass(MemoryGate& gate, std::int64_t tokens) : gate_(gate), tokens_(tokens) {
    gate_.Enter(tokens_);
  }
  ~MemoryGatePass() { gate_.Leave(tokens_); }
  MemoryGatePass(const MemoryGatePass&) = delete;
  MemoryGatePass& operator=(const MemoryGatePass&) = delete;

 private:
  MemoryGate& gate_;
  std::int64_t tokens_;
};

}  // namespace cloister::trainer
