#include "trainer/distributed/ranks.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

#include "security/primitives.h"

namespace cloister::trainer {
namespace {

class Alone final : public Ranks {
 public:
  std::int64_t rank() const override { return 0; }
  std::int64_t size() const override { return 1; }
  std::int64_t local_size() const override { return 1; }

  base::Result<std::vector<std::int64_t>> GatherAll(std::span<const std::int64_t> own) override {
    return std::vector<std::int64_t>(own.begin(), own.end());
  }
  base::Status SumToFirst(std::span<std::int64_t>) override { return {}; }
  base::Status Agree(base::Status own) override { return own; }
  base::Status Broadcast(std::span<std::byte>) override { return {}; }
  base::Status SumShards(std::span<const float> whole, std::span<float> shard) override {
    std::copy(whole.begin(), whole.end(), shard.begin());
    return {};
  }
  base::Status GatherShards(std::span<float>) override { return {}; }
  base::Status GatherRange(std::span<float>, const Range&, base::Status own) override {
    return own;
  }
  base::Status AddRange(std::span<const float> whole, const Range& range, base::Status own,
                        std::span<float> shard) override {
    CLOISTER_RETURN_IF_ERROR(std::move(own));
    for (std::size_t i = range.begin; i < range.end; ++i) shard[i] += whole[i];
    return {};
  }
  base::Status GatherOnFirst(std::span<const std::byte> own, std::span<std::byte> whole) override {
    std::copy(own.begin(), own.end(), whole.begin());
    return {};
  }
  base::Status ScatterFromFirst(std::span<const std::byte> whole,
                                std::span<std::byte> own) override {
    std::copy(whole.begin(), whole.end(), own.begin());
    return {};
  }
  base::Status ScatterShards(std::size_t, const Reader& read, std::span<float> shard) override {
    read(0, shard);
    return {};
  }
  void RequestStop() override { stop_ = true; }
  bool GoOn() const override { return !stop_; }
  base::Status Leave(base::Status own) override { return own; }

 private:
  std::atomic<bool> stop_ = false;
};

}  // namespace

Range Ranks::ShardOf(std::size_t size, std::int64_t of_rank) const {
  const auto ranks = static_cast<std::size_t>(this->size());
  const std::size_t units = (size + kShardUnit - 1) / kShardUnit;
  const std::size_t length = (units + ranks - 1) / ranks * kShardUnit;
  const std::size_t begin = std::min(size, static_cast<std::size_t>(of_rank) * length);
  return {begin, std::min(size, begin + length)};
}

base::Result<bool> Ranks::Decide(bool own) {
  std::byte answer{own ? std::uint8_t{1} : std::uint8_t{0}};
  CLOISTER_RETURN_IF_ERROR(Broadcast(std::span(&answer, 1)));
  return answer != std::byte{0};
}

base::Status Ranks::CheckSame(const std::string& what, const std::string& text) {
  security::Sha256 hash;
  hash.Update(text);
  const security::Sha256Digest digest = hash.Finish();
  std::int64_t word = 0;  // a slip is to be found, not an attack
  std::memcpy(&word, digest.data(), sizeof word);
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::int64_t> words, GatherAll(std::span(&word, 1)));
  const auto other = std::find_if(words.begin(), words.end(),
                                  [&](std::int64_t one) { return one != words.front(); });
  if (other == words.end()) return {};
  return base::Fail(base::Code::kFailedPrecondition,
                    "rank " + std::to_string(other - words.begin()) + " has another " + what +
                        " than rank 0: give all ranks the same");
}

base::Status Ranks::Sum(std::span<double> values) {
  std::vector<std::int64_t> bits;
  for (const double value : values) bits.push_back(std::bit_cast<std::int64_t>(value));
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::int64_t> all, GatherAll(bits));
  std::fill(values.begin(), values.end(), 0.0);
  for (std::size_t i = 0; i < all.size(); ++i) {
    values[i % values.size()] += std::bit_cast<double>(all[i]);
  }
  return {};
}

std::unique_ptr<Ranks> OneRank() { return std::make_unique<Alone>(); }

}  // namespace cloister::trainer
