#include "dp/audit/canary_set.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <unordered_set>
#include <utility>

#include "base/check.h"

namespace cloister::dp::audit {
namespace {

// log of (1 - q) N(x; 0, s²) + q N(x; 1, s²) over N(x; 0, s²).
double LogRatio(double x, double noise_multiplier, double rate) {
  const double shift = (2 * x - 1) / (2 * noise_multiplier * noise_multiplier);
  if (shift <= 0) return std::log1p(rate * std::expm1(shift));
  return shift + std::log(rate + (1 - rate) * std::exp(-shift));
}

// A uniform set of so many different ones (Floyd 1987). Their order is not uniform, but a canary's
// coin and sign know nothing of its place.
std::vector<std::int64_t> DistinctCoordinates(std::int64_t count, std::int64_t parameters,
                                              security::AesCtrStream& random) {
  std::unordered_set<std::int64_t> taken;
  std::vector<std::int64_t> coordinates;
  for (std::int64_t last = parameters - count; last < parameters; ++last) {
    const auto drawn =
        static_cast<std::int64_t>(random.NextBelow(static_cast<std::uint64_t>(last) + 1));
    const std::int64_t coordinate = taken.contains(drawn) ? last : drawn;
    taken.insert(coordinate);
    coordinates.push_back(coordinate);
  }
  return coordinates;
}

}  // namespace

base::Result<CanarySet> CanarySet::Draw(std::int64_t count, std::int64_t parameters,
                                        const ClaimedMechanism& claimed,
                                        security::AesCtrStream& random) {
  if (count < kFewest || count > kMost || count > parameters) {
    return base::Fail(base::Code::kInvalidArgument,
                      "audit: give " + std::to_string(kFewest) + " to " +
                          std::to_string(std::min(kMost, parameters)) +
                          " canaries: each has one of the " + std::to_string(parameters) +
                          " trained parameters for itself");
  }
  std::vector<Canary> all;
  std::vector<bool> coins;
  for (const std::int64_t coordinate : DistinctCoordinates(count, parameters, random)) {
    const std::uint64_t bits = random.NextU64();
    const double sign = (bits & 1) != 0 ? 1 : -1;
    all.push_back({coordinate, sign * kOverlength * claimed.clip_norm});
    coins.push_back((bits & 2) != 0);
  }
  return CanarySet(claimed, std::move(all), std::move(coins));
}

CanarySet::CanarySet(const ClaimedMechanism& claimed, std::vector<Canary> all,
                     std::vector<bool> coins)
    : claimed_(claimed),
      all_(std::move(all)),
      coins_(std::move(coins)),
      log_ratio_(all_.size()),
      mean_(all_.size()),
      squares_(all_.size()) {
  for (std::size_t i = 0; i < all_.size(); ++i) {
    if (coins_[i]) included_.push_back(all_[i]);
  }
}

void CanarySet::Observe(std::span<const double> noised_sum) {
  ++steps_;
  for (std::size_t i = 0; i < all_.size(); ++i) {
    const auto coordinate = static_cast<std::size_t>(all_[i].coordinate);
    CLOISTER_CHECK(coordinate < noised_sum.size());
    const double x =
        std::copysign(1.0, all_[i].value) * noised_sum[coordinate] / claimed_.clip_norm;
    log_ratio_[i] += LogRatio(x, claimed_.noise_multiplier, claimed_.sampling_rate);
    const double from_mean = x - mean_[i];
    mean_[i] += from_mean / static_cast<double>(steps_);
    squares_[i] += from_mean * (x - mean_[i]);
  }
}

base::Result<Guesses> CanarySet::Guess(Attack attack, std::int64_t guesses) const {
  if (guesses < 1 || guesses > size()) {
    return base::Fail(base::Code::kInvalidArgument, "audit: give 1 to " + std::to_string(size()) +
                                                        " guesses, one a canary at most");
  }
  const auto sureness = [&](std::size_t i) {
    return attack == Attack::kSpread ? squares_[i] : std::abs(log_ratio_[i]);
  };
  std::vector<std::size_t> order(all_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // Ties by index, which the coins know nothing of.
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(-sureness(a), a) < std::pair(-sureness(b), b);
  });
  Guesses result{size(), guesses, 0};
  for (std::int64_t rank = 0; rank < guesses; ++rank) {
    const std::size_t i = order[static_cast<std::size_t>(rank)];
    const bool included = attack == Attack::kSpread || log_ratio_[i] > 0;
    if (included == coins_[i]) ++result.correct;
  }
  return result;
}

base::Result<Verdict> Judge(const CanarySet& canaries, const ClaimedMechanism& claimed,
                            std::int64_t guesses, double delta, double confidence) {
  using Attack = CanarySet::Attack;
  const auto count = static_cast<double>(canaries.size());
  // A canary that is in but was never drawn cannot be told from one that is out.
  const double drawn = 1 - std::pow(1 - claimed.sampling_rate, static_cast<double>(claimed.steps));
  const auto few = std::max<std::int64_t>(1, canaries.size() / 10);
  const auto many = std::max<std::int64_t>(few, static_cast<std::int64_t>(0.45 * count * drawn));
  std::vector<std::pair<Attack, std::int64_t>> attacks;
  attacks.emplace_back(Attack::kLikelihood, guesses > 0 ? guesses : few);
  if (guesses == 0 && many > few) attacks.emplace_back(Attack::kLikelihood, many);
  if (claimed.steps > 1 && claimed.sampling_rate < 1) {
    attacks.emplace_back(Attack::kSpread, guesses > 0 ? guesses : few);
  }
  const double each = 1 - (1 - confidence) / static_cast<double>(attacks.size());
  Verdict verdict;
  for (const auto& [attack, number] : attacks) {
    CLOISTER_ASSIGN_OR_RETURN(const Guesses seen, canaries.Guess(attack, number));
    CLOISTER_ASSIGN_OR_RETURN(const double lower, EpsilonLowerBound(seen, delta, each));
    CLOISTER_ASSIGN_OR_RETURN(const double most,
                              EpsilonLowerBound({seen.canaries, number, number}, delta, each));
    if (verdict.seen.canaries == 0 || lower > verdict.epsilon_lower) {
      verdict.epsilon_lower = lower;
      verdict.seen = seen;
    }
    verdict.epsilon_most = std::max(verdict.epsilon_most, most);
  }
  return verdict;
}

}  // namespace cloister::dp::audit
