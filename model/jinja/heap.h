#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "model/jinja/limits.h"

namespace cloister::model::jinja {

class Object;

// The accounts of one rendering: steps taken and bytes alive. Making a value never fails; whoever
// evaluates asks Check() after each step, and an operation that makes a text or a list asks Admit()
// first. Outlives every Object that was made with it. Not thread-safe.
class Heap {
 public:
  static constexpr std::uint64_t kBytesCopiedAStep = 32;
  static constexpr std::uint64_t kBytesSeenAStep = 8;

  explicit Heap(const Limits& limits) : limits_(limits) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  ~Heap();

  const Limits& limits() const { return limits_; }

  void Spend(std::uint64_t steps) { steps_ += steps; }
  // The work of copying or comparing so many bytes.
  void SpendBytes(std::uint64_t bytes) { steps_ += bytes / kBytesCopiedAStep; }
  // The work of reading so many bytes character by character.
  void SpendLook(std::uint64_t bytes) { steps_ += bytes / kBytesSeenAStep; }
  std::uint64_t steps() const { return steps_; }
  // Memory that lives, until it is released.
  void Count(std::size_t bytes) { live_ += bytes; }
  // The same, and the work of filling it.
  void Charge(std::size_t bytes) {
    Count(bytes);
    SpendBytes(bytes);
  }
  void Release(std::size_t bytes) { live_ -= bytes; }
  void NoteDepth(int depth) { too_deep_ |= depth > limits_.value_depth; }

  bool within() const {
    return steps_ <= limits_.steps && live_ <= limits_.memory_bytes && !too_deep_;
  }
  // kOutOfRange naming the limit that was passed.
  base::Status Check() const { return within() ? base::Status() : Passed(); }
  // The same as if `bytes` more were alive.
  base::Status Admit(std::uint64_t bytes) const;

  // Objects that can come to hold themselves. They stay alive until the heap ends and are emptied
  // then, each before any is destroyed.
  void KeepUntilEnd(Object* object);

 private:
  base::Status Passed() const;

  const Limits& limits_;
  std::uint64_t steps_ = 0;
  std::size_t live_ = 0;
  bool too_deep_ = false;
  std::vector<Object*> kept_;
};

// Memory that is no value's, counted while this is here: the part of a text that will be added to
// it, say.
class Held {
 public:
  Held(Heap& heap, std::size_t bytes) : heap_(heap), bytes_(bytes) { heap_.Count(bytes_); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { heap_.Release(bytes_); }

 private:
  Heap& heap_;
  std::size_t bytes_;
};

}  // namespace cloister::model::jinja
