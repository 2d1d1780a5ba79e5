#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/rank_link.h"

namespace cloister::trainer {

// A range of a vector's numbers.
struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t size() const { return end - begin; }
};

// The processes of one run, which work on it together: rank 0 of them, "the first", writes and
// tells; the others only help. One rank alone is a run of one process, for which every call here
// is free.
//
// Calls marked (together) must be made by every rank, in one order and of one size; each waits for
// all. Where a rank is lost, or has ended, the others' calls end with kUnavailable, or with the
// code and reason that it gave, and so do all later ones: docs/reference/distributed.md.
//
// Not thread-safe, but for GoOn() and RequestStop().
class Ranks : public dp::RankLink {
 public:
  // Of `size` numbers those that are this rank's: ranges of one length, a multiple of kShardUnit,
  // in the order of ranks, the last ones shorter or empty.
  static constexpr std::size_t kShardUnit = 256;
  Range Shard(std::size_t size) const { return ShardOf(size, rank()); }
  Range ShardOf(std::size_t size, std::int64_t of_rank) const;
  // Which of `items`, dealt out in turn, are this rank's: indexes rank, rank + size, …
  template <typename Item>
  std::vector<Item> Deal(const std::vector<Item>& items) const {
    std::vector<Item> own;
    for (auto i = static_cast<std::size_t>(rank()); i < items.size();
         i += static_cast<std::size_t>(size())) {
      own.push_back(items[i]);
    }
    return own;
  }
  // Ranks on this machine that share its processors.
  virtual std::int64_t local_size() const = 0;
  // Which of them this is: the GPU of a run on GPUs.
  virtual std::int64_t local_rank() const { return 0; }

  // (together) How work of each rank's own went: done where every rank's was, else what the lowest
  // rank says whose was not.
  virtual base::Status Agree(base::Status own) = 0;
  template <typename Value>
  base::Result<Value> Agreed(base::Result<Value> own) {
    CLOISTER_RETURN_IF_ERROR(Agree(own ? base::Status() : tl::unexpected(own.error())));
    return own;
  }
  // (together) The first rank's bytes, on all.
  virtual base::Status Broadcast(std::span<std::byte> bytes) = 0;
  // (together) In `shard`, which is as long as Shard(whole.size()), the sums over ranks of what
  // stands there in each one's `whole`: in fp64, in the order of ranks, rounded once.
  virtual base::Status SumShards(std::span<const float> whole, std::span<float> shard) = 0;
  // (together) Every rank brings its own Shard() of `whole`, and has all of it afterwards.
  virtual base::Status GatherShards(std::span<float> whole) = 0;
  // (together) The same for a range of `whole` alone: each rank that has some of it sends its own
  // to all others. `own` as for Agree(): nothing is sent where a rank's work was not done.
  virtual base::Status GatherRange(std::span<float> whole, const Range& range,
                                   base::Status own) = 0;
  // (together) Adds to `shard` what SumShards() would put there, for a range of `whole` alone;
  // `own` as above.
  virtual base::Status AddRange(std::span<const float> whole, const Range& range, base::Status own,
                                std::span<float> shard) = 0;
  // (together) Every rank brings bytes, of any number: on the first they stand one rank's after the
  // other's in `whole` afterwards, which has their sum's length there and is empty elsewhere.
  virtual base::Status GatherOnFirst(std::span<const std::byte> own,
                                     std::span<std::byte> whole) = 0;
  // (together) The other way: each rank gets as many as `own` holds.
  virtual base::Status ScatterFromFirst(std::span<const std::byte> whole,
                                        std::span<std::byte> own) = 0;
  // (together) In `shard` this rank's part of `size` numbers of which the first rank reads any
  // range by `read`, a piece at a time.
  using Reader = std::function<void(std::size_t begin, std::span<float> values)>;
  virtual base::Status ScatterShards(std::size_t size, const Reader& read,
                                     std::span<float> shard) = 0;

  // Asks all ranks to end their work soon.
  virtual void RequestStop() = 0;
  // False once a rank asked for the end, or one is lost: work of one's own need not go on.
  virtual bool GoOn() const = 0;
  // (together, but for ranks that failed) The last call. Tells the others why this rank ends, where
  // it is not because of them, and returns how the run ended.
  virtual base::Status Leave(base::Status own) = 0;

  // (together) The first rank's answer, on all.
  base::Result<bool> Decide(bool own);
  // (together) kFailedPrecondition unless `what` is the same `text` on all ranks, naming one where
  // it is not.
  base::Status CheckSame(const std::string& what, const std::string& text);
  // (together) Sums over ranks in their order, on all: the same bits on each.
  base::Status Sum(std::span<double> values);
};

// A run of one process.
std::unique_ptr<Ranks> OneRank();

}  // namespace cloister::trainer
