#include "dp/mechanism/clipped_sum.h"

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <string>

namespace cloister::dp {
namespace {

constexpr std::int64_t kPiece = std::int64_t{1} << 20;  // numbers that are sent at a time

tl::unexpected<base::Error> OtherRules(std::size_t rank) {
  return base::Fail(base::Code::kInvalidArgument,
                    "rank " + std::to_string(rank) +
                        " clipped by other rules than rank 0: start all with one recipe");
}

tl::unexpected<base::Error> TooManyUnits() {
  return base::Fail(base::Code::kOutOfRange, "the ranks drew more than " +
                                                 std::to_string(ClippedSum::kMaxUnits) +
                                                 " units for one step: lower the sampling rate");
}

}  // namespace

base::Result<ClippedSum> ClippedSum::Join(std::vector<ClippedSum> ranks) {
  if (ranks.empty()) {
    return base::Fail(base::Code::kInvalidArgument, "no rank gave a sum: one of none is a sum too");
  }
  ClippedSum whole = std::move(ranks.front());
  for (std::size_t i = 1; i < ranks.size(); ++i) {
    const ClippedSum& rank = ranks[i];
    if (rank.Rules() != whole.Rules()) return OtherRules(i);
    if (rank.units_ > kMaxUnits - whole.units_) return TooManyUnits();
    whole.units_ += rank.units_;
    whole.points_.Add(rank.points_);
  }
  return whole;
}

std::array<std::int64_t, 6> ClippedSum::Rules() const {
  return {std::bit_cast<std::int64_t>(spacing_),  std::bit_cast<std::int64_t>(clip_norm_),
          std::bit_cast<std::int64_t>(excess_),   static_cast<std::int64_t>(unit_),
          static_cast<std::int64_t>(neighbours_), points_.dimension()};
}

base::Result<ClippedSum::Joined> ClippedSum::JoinOnFirst(ClippedSum own, RankLink& ranks) {
  if (ranks.size() == 1) return Joined{.whole = std::move(own)};
  const auto rules = own.Rules();
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::int64_t> all, ranks.GatherAll(rules));
  for (std::size_t rank = 0; rank < all.size() / rules.size(); ++rank) {
    const auto of_rank = std::span(all).subspan(rank * rules.size(), rules.size());
    if (!std::equal(of_rank.begin(), of_rank.end(), all.begin())) return OtherRules(rank);
  }
  std::int64_t units = own.units_;
  CLOISTER_RETURN_IF_ERROR(ranks.SumToFirst(std::span(&units, 1)));
  const std::int64_t too_many = ranks.first() && units > kMaxUnits ? 1 : 0;
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::int64_t> refused,
                            ranks.GatherAll(std::span(&too_many, 1)));
  if (refused.front() != 0) return TooManyUnits();
  std::vector<std::int64_t> piece;
  for (std::int64_t begin = 0; begin < own.points_.dimension(); begin += kPiece) {
    // The first rank is told what the others have, and adds it to its own.
    piece.assign(static_cast<std::size_t>(std::min(kPiece, own.points_.dimension() - begin)), 0);
    if (!ranks.first()) own.points_.Read(begin, piece);
    CLOISTER_RETURN_IF_ERROR(ranks.SumToFirst(piece));
    if (ranks.first()) own.points_.Add(begin, piece);
  }
  if (!ranks.first()) return Joined{.spare = std::move(own.points_)};
  own.units_ = units;
  return Joined{.whole = std::move(own)};
}

}  // namespace cloister::dp
