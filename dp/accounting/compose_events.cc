#include <algorithm>
#include <cmath>
#include <utility>

#include "dp/accounting/compose_losses.h"
#include "dp/accounting/composed_loss.h"
#include "dp/accounting/saddle_point.h"
#include "dp/accounting/split_loss.h"
#include "dp/accounting/step_losses.h"

// How fine every step of the computation is. The rounding of losses raises log δ by an amount
// ("rise") that is shared out between the nodes of connect-the-dots and the lattices; at the tilt
// where the composition stands, ε rises by that over the tilt.
namespace cloister::dp {
namespace {

constexpr double kEpsilonRise = 9e-4;  // of ε, when ε is asked for
constexpr double kDeltaRise = 2e-3;    // of δ, when δ is
constexpr double kLargestRise = 0.5;   // of log δ
constexpr double kNodeShare = 0.1;     // of the rise, for nodes; the rest for lattices
constexpr double kCapShare = 0.15;     // the same, for what caps of losses cost
constexpr double kFinestCell = 2e-3;
constexpr double kOutsideShare = 1e-5;   // of δ, for what transforms cut off
constexpr double kLeastOutside = 1e-16;  // of the tilted mass; rounding errors are larger
constexpr double kMostOutside = 1e-7;
constexpr double kLargestErrorShare = 3e-3;  // of δ: with more, a larger tilt is tried
constexpr double kSmallErrorShare = 0.1;     // the next tilt will do
constexpr double kCellsToEpsilon = 50;       // where one loss decides, at least
constexpr double kSlopeTolerance = 1.3;      // of a guess of the slope
constexpr double kMuchTooSteep = 2;          // the same, where a guess is too large
constexpr double kSmallGain = 1e-4;          // of ε: no errors are worth as little
constexpr double kCommonLogDelta = 20;       // 2e-9
constexpr double kLeastOfOne = 1e-3;         // of ε: where one loss may decide
constexpr double kMostlyNormal = 0.7;        // of ε: where it does not
constexpr int kMostGuesses = 6;
constexpr int kMostAttempts = 4;
constexpr int kMostAttemptsEver = 7;
constexpr double kFall = 0.7;                         // of an ε that errors decide: the next guess
constexpr double kLeastFall = 0.95;                   // a guess that is worth another attempt
constexpr int kMostStalls = 2;                        // attempts that gain nothing
constexpr int kMostLong = 2;                          // attempts with a long transform
constexpr double kLongErrorShare = 0.05;              // of δ: worth another one
constexpr std::size_t kQuick = std::size_t{1} << 14;  // the longest transform while it is searched
constexpr std::int64_t kFewSteps = 64;                // composed at once
constexpr double kRounding = 4e-16;

// About the tilted mass that rounding errors of transforms may come to.
double ErrorOf(double steps) { return 1e-12 + 1e-14 * steps; }

// How losses are rounded to lattices and composed there.
struct LatticeRule {
  double tilt = 0;
  double rise = 0;    // of log δ, at one level of composition
  double widest = 0;  // spacing: where one loss decides, the rise of all mass says too little
  double outside = 0;
  std::size_t longest = kLongest;  // transform

  double Spacing(std::span<const Part> parts) const {
    return std::min(widest, SpacingFor(parts, tilt, rise));
  }
};

// A kind's steps as blocks of about √steps and a few steps left over, so that either composition
// needs a lattice only as fine as its own deviation.
struct Blocks {
  TiltedLoss block;
  std::int64_t blocks = 0;
  TiltedLoss step;
  std::int64_t rest = 0;
};

// The length near √steps that leaves least over.
std::int64_t BlockLength(std::int64_t steps) {
  const auto root = static_cast<std::int64_t>(std::sqrt(static_cast<double>(steps)));
  std::int64_t best = root;
  for (std::int64_t length = root - root / 8; length <= root + root / 8; ++length) {
    if (steps % length < steps % best) best = length;
    if (steps % best == 0) break;
  }
  return best;
}

std::optional<Blocks> BlocksOf(TiltedLoss step, double steps, const LatticeRule& rule) {
  const auto count = static_cast<std::int64_t>(steps);
  if (count < kFewSteps) return Blocks{std::move(step), count, {}, 0};
  const std::int64_t length = BlockLength(count);
  const Part all = {&step, count};
  const Part block = {&step, length};
  Blocks made;
  made.blocks = count / length;
  std::optional<TiltedLoss> composed =
      Compose({&block, 1}, rule.tilt, rule.Spacing({&all, 1}),
              rule.outside / static_cast<double>(made.blocks), rule.longest);
  if (!composed) return std::nullopt;
  made.block = *std::move(composed);
  made.rest = count % length;
  if (made.rest > 0) made.step = std::move(step);
  return made;
}

// Rounding a loss raises the mass at a tilt in proportion to tilt (tilt + 1).
double TiltShare(const Saddle& saddle) {
  return saddle.tilt * (saddle.tilt + 1) / (saddle.slope * (saddle.slope + 1));
}

// How much log δ may rise by all rounding of losses.
double RiseFor(const Target& target, const Saddle& saddle) {
  if (!target.at_delta) {
    // Where ε is so large or δ so small that nobody would ask, δ need not be as exact.
    const double far = std::max(1.0, saddle.deviation / 10);
    const double small = std::clamp(-saddle.log_delta / kCommonLogDelta, 1.0, 4.0);
    return std::min(kDeltaRise * std::max(far * far, small), std::max(kLargestRise, far / 50));
  }
  const double epsilon = std::max(saddle.epsilon, 0.1 / saddle.slope);
  return std::min(kLargestRise, kEpsilonRise * epsilon * saddle.slope);
}

std::optional<ComposedLoss> ComposeAt(std::span<const Kind> kinds, Direction direction,
                                      StepLosses& losses, const Saddle& saddle, double cap,
                                      double rise, std::size_t longest) {
  const double tilt = saddle.tilt;
  const double tail = TailFor(saddle.log_delta, StepsOf(kinds));
  // At the tilt, the mass rises by this part of what δ does.
  const double tilt_share = TiltShare(saddle);
  const CoarseLosses coarse(kinds, direction, tail, cap);
  const double node_share = kNodeShare * rise;
  const double cell = std::clamp(
      CoarseLosses::kCell *
          std::sqrt(std::min(node_share * tilt_share / coarse.NodeRise(tilt),
                             node_share / coarse.LocalRise(saddle.epsilon, saddle.slope))),
      kFinestCell, CoarseLosses::kCell);
  const double lattice_rise = (1 - kNodeShare) * rise;
  const bool two_levels = std::any_of(kinds.begin(), kinds.end(),
                                      [](const Kind& kind) { return kind.steps >= kFewSteps; });
  const double level_rise = two_levels ? lattice_rise / 2 : lattice_rise;

  ComposedLoss::Scale scale;
  scale.tilt = tilt;
  scale.log_scale = 1e-9 + kQuadratureError * StepsOf(kinds);
  std::vector<PrivacyLoss> steps = losses.AsFineAs({cell, tail});
  std::vector<double> counts;
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    counts.push_back(kinds[k].steps);
    scale.infinity_mass += kinds[k].steps * steps[k].infinity_mass;
  }
  scale.large = LargeLosses(counts, steps, saddle.epsilon, 1 / saddle.slope,
                            kCapShare * rise * std::exp(saddle.log_delta));
  const auto tilted_of = [&](const PrivacyLoss& step, double count) {
    const Cumulant cumulant = CumulantOf(step, tilt);
    TiltedLoss made = Tilt(step, tilt, cumulant.value);
    double size = 0;
    for (std::size_t i = 0; i < made.loss.size(); ++i) {
      size += made.mass[i] * std::abs(made.loss[i]);
    }
    scale.log_scale += count * (cumulant.value + kRounding * (4 + tilt * size));
    scale.loss_margin += count * kRounding * size;
    return made;
  };
  std::vector<TiltedLoss> tilted;
  std::vector<TiltedLoss> far;
  std::vector<std::int64_t> far_counts;
  for (std::size_t k = 0; k < steps.size(); ++k) {
    const std::optional<SplitLoss> split =
        counts[k] < kFewSteps ? std::nullopt : Split(steps[k], counts[k], tilt);
    tilted.push_back(tilted_of(split ? split->near : steps[k], counts[k]));
    if (!split) continue;
    far.push_back(tilted_of(split->far, counts[k]));
    far_counts.push_back(static_cast<std::int64_t>(counts[k]));
    const auto& losses = far.back().loss;
    far.back().anchor = static_cast<std::size_t>(std::lower_bound(losses.begin(), losses.end(), 0) -
                                                 losses.begin());
  }
  // What is cut off may add so much to δ at the ε in question.
  const double share = std::exp(saddle.log_delta + tilt * saddle.epsilon - scale.log_scale);
  const double outside =
      std::clamp(kOutsideShare * share / WorstPlace(tilt), kLeastOutside, kMostOutside);
  const double local = std::sqrt(12 * level_rise / (saddle.slope * (saddle.slope + 1)));
  LatticeRule rule{tilt, level_rise * tilt_share / static_cast<double>(kinds.size()),
                   std::min(local, std::max(saddle.epsilon, 2 / saddle.slope) / kCellsToEpsilon),
                   outside, longest};
  std::vector<Blocks> blocks;
  blocks.reserve(kinds.size());
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    std::optional<Blocks> made = BlocksOf(std::move(tilted[k]), kinds[k].steps, rule);
    if (!made) return std::nullopt;
    blocks.push_back(*std::move(made));
  }
  std::vector<Part> parts;
  for (const Blocks& kind : blocks) {
    parts.push_back({&kind.block, kind.blocks});
    if (kind.rest > 0) parts.push_back({&kind.step, kind.rest});
  }
  for (std::size_t i = 0; i < far.size(); ++i) parts.push_back({&far[i], far_counts[i]});
  rule.rise = level_rise * tilt_share;
  const std::optional<TiltedLoss> composed =
      Compose(parts, tilt, rule.Spacing(parts), outside, longest);
  if (!composed || !std::isfinite(composed->stray)) return std::nullopt;
  return ComposedLoss(*composed, scale);
}

struct CappedSaddle {
  Saddle saddle;
  double cap = 0;
};

// Rare large losses take all the mass at the tilt that suits a normal law, far from where δ is
// decided. The saddle then is where one loss alone, or all smaller ones, would have it.
std::optional<CappedSaddle> SaddleOfOne(std::span<const Kind> kinds, Direction direction,
                                        const Target& target, const Saddle& normal, double error) {
  const double tail =
      TailFor(target.at_delta ? std::log(target.value) : kLeastLogDelta, StepsOf(kinds));
  const CoarseLosses coarse(kinds, direction, tail);
  double epsilon = target.value;
  double log_delta = 0;
  if (target.at_delta) {
    log_delta = std::log(target.value);
    epsilon = coarse.EpsilonOfOne(log_delta);
    if (!(epsilon > kLeastOfOne * normal.epsilon)) return std::nullopt;
    for (int i = 0;; ++i) {
      if (i == kMostGuesses || epsilon >= kMostlyNormal * normal.epsilon) return std::nullopt;
      const CoarseLosses smaller(kinds, direction, tail, epsilon);
      const double other = FindSaddle(smaller, target, error, kLargestErrorShare).epsilon;
      if (other <= epsilon) break;
      epsilon = std::clamp(other, 1.3 * epsilon, 3 * epsilon);
    }
  } else {
    const double one = coarse.LogDeltaOfOne(epsilon);
    if (one < kLeastLogDelta) return std::nullopt;
    const CoarseLosses smaller(kinds, direction, tail, epsilon);
    log_delta = std::min(
        0.0, std::max(one, FindSaddle(smaller, target, error, kLargestErrorShare).log_delta));
  }
  CoarseLosses capped = coarse;
  CappedSaddle made;
  made.cap = capped.LeaveOutLarge(
      epsilon, kCapShare * (target.at_delta ? kEpsilonRise : kDeltaRise) * std::exp(log_delta));
  made.saddle = FindSaddle(capped, {false, epsilon}, error, kLargestErrorShare, log_delta);
  return made;
}

}  // namespace

std::optional<ComposedLoss> ComposeEvents(std::span<const Event> events, Direction direction,
                                          const Target& target) {
  const std::vector<Kind> kinds = KindsOf(events);
  const double steps = StepsOf(kinds);
  const double first_guess = target.at_delta ? std::log(target.value) : kLeastLogDelta;
  double cap = std::numeric_limits<double>::infinity();
  const auto find = [&](const Target& at, double log_delta, double error,
                        std::optional<double> known = std::nullopt) {
    return FindSaddle(CoarseLosses(kinds, direction, TailFor(log_delta, steps), cap), at, error,
                      kLargestErrorShare, known);
  };
  double error = ErrorOf(steps);
  Saddle saddle = find(target, first_guess, error);
  if (saddle.log_delta < first_guess) {
    saddle = find(target, -700, error);
  } else if (!target.at_delta) {
    // δ decides how much of a step's tail may become infinity mass, and that tail may decide the
    // saddle: a δ that agrees with its own tail.
    double low = first_guess;
    double high = 0;
    while (high - low > 5) {
      const double middle = (low + high) / 2;
      const Saddle at = find(target, middle, error);
      (at.log_delta < middle ? high : low) = middle;
      if (at.log_delta >= middle) saddle = at;
    }
  }
  const Saddle normal = saddle;
  const auto one = SaddleOfOne(kinds, direction, target, normal, error);
  StepLosses losses(kinds, direction);
  std::optional<ComposedLoss> best;
  double best_answer = std::numeric_limits<double>::infinity();
  // Where losses are rare but large, the saddle point's guess is a bad one, of ε, of the slope or
  // of the share of mass that decides: then again, at what was found.
  const auto search = [&](const Saddle& start, double start_cap) {
    saddle = start;
    cap = start_cap;
    std::size_t longest = kQuick;
    int most = kMostAttempts;
    int stalls = 0;
    double fall = kFall;
    int longs = kMostLong;
    std::optional<Saddle> good;
    for (int attempt = 0; attempt <= most; ++attempt) {
      if (attempt == most) longest = kLongest;
      std::optional<ComposedLoss> made =
          ComposeAt(kinds, direction, losses, saddle, cap, RiseFor(target, saddle), longest);
      double answer = std::numeric_limits<double>::infinity();
      if (made)
        answer = target.at_delta ? made->Epsilon(first_guess) : made->LogDelta(target.value);
      if (!(answer < std::numeric_limits<double>::infinity())) {
        // Too large a tilt for what is left below the cap: a guess not as far away, or at last the
        // one that went well.
        if (!good || longest == kLongest) break;
        fall = std::sqrt(fall);
        saddle = *good;
        cap = best->Cap();
        if (target.at_delta && fall < kLeastFall && attempt + 1 < kMostAttemptsEver) {
          saddle = find({false, fall * best_answer}, first_guess, error, first_guess);
          saddle.slope = std::max(saddle.tilt, best->Slope(best_answer));
          most = std::min(most + 1, kMostAttemptsEver);
        } else {
          most = attempt + 1;
        }
        continue;
      }
      const Saddle last = saddle;
      (target.at_delta ? saddle.epsilon : saddle.log_delta) = answer;
      const double slope = made->Slope(saddle.epsilon);
      const double share = made->ErrorShare(saddle.epsilon);
      const bool coarse = made->IsCoarse();
      const double made_error = made->Error();
      cap = made->Cap();
      // Errors are most of what was found: there is less to find.
      const bool gains = !(answer > best_answer - 0.02 * std::abs(best_answer));
      stalls = gains ? 0 : stalls + 1;
      const bool falls = share > 0.5 && stalls < kMostStalls;
      if (!best || answer < best_answer) {
        best = std::move(made);
        best_answer = answer;
        good = last;
      }
      if (answer <= target.enough) break;
      if (answer <= (target.at_delta ? 0 : kLeastLogDelta)) break;
      const bool level = !target.at_delta && answer > -0.1;  // a δ near 1, which hardly falls
      const bool near =
          std::abs(saddle.epsilon - last.epsilon) < 0.2 * std::max(saddle.epsilon, 1 / slope) &&
          slope < kSlopeTolerance * last.slope && (level || slope > last.slope / kMuchTooSteep);
      bool done =
          near && (share < kLargestErrorShare ||
                   (target.at_delta && -std::log1p(-share) < kSmallGain * saddle.epsilon * slope));
      if (!done) {
        // Errors are larger than thought: as many times, and more where they hide what they are
        // added to.
        error = std::max(ErrorOf(1), made_error);
        const double log_delta = target.at_delta ? first_guess : best_answer;
        const double without =
            target.at_delta ? log_delta : saddle.log_delta + std::log(1.001 - share);
        saddle = find({false, target.at_delta ? best_answer * (falls ? fall : 1) : target.value},
                      std::min(first_guess, log_delta), error, without);
        saddle.log_delta = log_delta;
        done = saddle.tilt < 1.05 * last.tilt && ((near && log_delta > last.log_delta - 1) ||
                                                  (coarse && saddle.tilt > last.tilt / 1.05));
      }
      if (share < kLargestErrorShare) saddle.tilt = last.tilt;
      saddle.slope = std::max(saddle.tilt, slope);
      if (longest == kLongest) {
        if (--longs <= 0 || share < kLongErrorShare || share > 0.5) break;
        most = attempt + 1;
        continue;
      }
      if (falls) {
        most = std::min(most + 1, kMostAttemptsEver);
        continue;
      }
      if (done && !coarse) break;
      // What a longer transform will give again need not be given twice.
      if (done || (near && coarse && share < kSmallErrorShare)) longest = kLongest;
    }
  };
  if (one) search(one->saddle, one->cap);
  // A start that led nowhere: from the other one.
  const double worst = target.at_delta ? 1.1 * normal.epsilon : normal.log_delta + 1;
  if (!best || best_answer > worst) {
    error = ErrorOf(steps);
    search(normal, std::numeric_limits<double>::infinity());
  }
  return best;
}

}  // namespace cloister::dp
