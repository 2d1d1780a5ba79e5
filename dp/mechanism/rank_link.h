#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace cloister::dp {

// What a sum needs of the processes ("ranks") that made its parts. Every rank calls the same
// functions in the same order, and each call waits for all. An error of one rank is an error of
// all. Not thread-safe.
class RankLink {
 public:
  virtual ~RankLink() = default;

  virtual std::int64_t rank() const = 0;  // of [0, size)
  virtual std::int64_t size() const = 0;
  bool first() const { return rank() == 0; }

  // A few numbers of each rank, as many on each: rank 0's, then rank 1's, and so on.
  virtual base::Result<std::vector<std::int64_t>> GatherAll(std::span<const std::int64_t> own) = 0;
  // On rank 0 the sum over ranks, exact while it stays within 64 bits. The others keep what they
  // gave and are sent nothing. As many numbers on each.
  virtual base::Status SumToFirst(std::span<std::int64_t> values) = 0;
};

}  // namespace cloister::dp
