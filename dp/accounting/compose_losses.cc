#include "dp/accounting/compose_losses.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <utility>

#include "dp/accounting/fourier.h"

namespace cloister::dp {
namespace {

using Complex = std::complex<double>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = std::numeric_limits<double>::epsilon();
constexpr int kMostWidenings = 8;
// Terms below exp(-80) of the whole are set to zero: 1e-35, far below a rounding error.
constexpr double kLeastLogTerm = -80;

double LogGrowth(std::span<const Part> parts, double tilt, double spacing) {
  double growth = 0;
  for (const Part& part : parts) {
    const double before = Sum(part.loss->mass);
    const double after = MassOnLattice(*part.loss, tilt, spacing);
    growth += static_cast<double>(part.count) * std::log(after / before);
  }
  return std::isnan(growth) ? kInfinity : growth;
}

// Of one part's index, once, under its tilted masses.
struct Moments {
  double mean = 0;
  double variance = 0;
};

Moments MomentsOf(const LatticeLoss& lattice) {
  const double total = Sum(lattice.mass);
  Moments made;
  for (std::size_t i = 0; i < lattice.mass.size(); ++i) {
    made.mean += lattice.mass[i] * static_cast<double>(lattice.index[i]);
  }
  made.mean /= total;
  for (std::size_t i = 0; i < lattice.mass.size(); ++i) {
    const double away = static_cast<double>(lattice.index[i]) - made.mean;
    made.variance += lattice.mass[i] * away * away / total;
  }
  return made;
}

// log of the expectation of exp(order · (index - mean)).
double LogMoment(const LatticeLoss& lattice, double mean, double order) {
  // Where indices follow each other the exponential grows by a factor, for so many times that
  // roundings stay under the margin.
  constexpr double kMargin = 1e-13;
  const int most_times = std::abs(order) < 1 ? 64 : 1;
  const double ratio = std::exp(order);
  double moment = 0;
  double factor = 0;
  int times = most_times;
  for (std::size_t i = 0; i < lattice.mass.size(); ++i) {
    if (times == most_times || lattice.index[i] != lattice.index[i - 1] + 1) {
      factor = std::exp(order * (static_cast<double>(lattice.index[i]) - mean));
      times = 0;
    }
    moment += lattice.mass[i] * factor;
    factor *= ratio;
    ++times;
  }
  return std::log(moment) + kMargin;
}

struct Window {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

// The least of Chernoff's bounds over orders. It falls and then rises as orders fall from `order`,
// which suits a normal law; rare large losses need far smaller ones.
template <typename Bound>
double LeastBound(double order, const Bound& bound) {
  double least = kInfinity;
  for (int i = 0; i < 60; ++i, order /= 1.5) {
    const double here = bound(order);
    if (std::isfinite(least) && here >= least) break;
    least = here;
  }
  return least;
}

// At most `outside` of the composition's mass has its index outside the window.
Window WindowOf(std::span<const LatticeLoss> lattices, std::span<const Part> parts,
                double outside) {
  double first = 0;
  double last = 0;
  double mean = 0;
  double variance = 0;
  std::vector<Moments> moments;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const auto count = static_cast<double>(parts[p].count);
    moments.push_back(MomentsOf(lattices[p]));
    first += count * static_cast<double>(lattices[p].index.front());
    last += count * static_cast<double>(lattices[p].index.back());
    mean += count * moments[p].mean;
    variance += count * moments[p].variance;
  }
  const double log_part = std::log(2 / outside);
  const double order = std::sqrt(2 * log_part / std::max(variance, 1e-6));
  const auto bound = [&](double signed_order) {
    double log_moment = log_part;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      log_moment += static_cast<double>(parts[p].count) *
                    LogMoment(lattices[p], moments[p].mean, signed_order);
    }
    return std::isfinite(log_moment) ? std::max(0.0, log_moment / std::abs(signed_order))
                                     : kInfinity;
  };
  last = std::min(last, mean + LeastBound(2.2 * order, bound));
  first = std::max(first, mean - LeastBound(-2.2 * order, bound));
  // Where the bounds fail, a window that no transform covers but that can be counted: Compose
  // widens the spacing then.
  constexpr double kFar = 1e15;
  first = std::max(first, mean - kFar);
  last = std::min(last, mean + kFar);
  return {static_cast<std::int64_t>(std::floor(first)) - 1,
          static_cast<std::int64_t>(std::ceil(last)) + 1};
}

Complex Product(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

Complex Power(Complex base, std::int64_t exponent) {
  if (0.5 * std::log(std::norm(base)) * static_cast<double>(exponent) < kLeastLogTerm) return 0;
  Complex power = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0) power = Product(power, base);
    base = Product(base, base);
    exponent >>= 1;
  }
  return power;
}

std::size_t Wrapped(std::int64_t index, std::size_t size) {
  const auto period = static_cast<std::int64_t>(size);
  const std::int64_t rest = index % period;
  return static_cast<std::size_t>(rest < 0 ? rest + period : rest);
}

struct Composed {
  std::vector<double> mass;  // by index, less `start`, modulo its size
  std::int64_t start = 0;
  double error = 0;  // of all transforms, in the sum of masses

  double At(std::int64_t index) const { return mass[Wrapped(index - start, mass.size())]; }
};

// One part's transform. Its largest mass, which is nearly all of it where a step costs little, is
// left out and added to every term afterwards, exactly: rounding errors are then those of the rest.
struct PartTransform {
  std::vector<Complex> terms;
  std::int64_t start = 0;  // the index that stands at 0: where the largest mass is
  double error = 0;        // Euclidean norm, of all terms
};

PartTransform TransformOf(const LatticeLoss& lattice, std::size_t size, const Fourier& fourier) {
  const auto largest = std::max_element(lattice.mass.begin(), lattice.mass.end());
  PartTransform made;
  made.start = lattice.index[static_cast<std::size_t>(largest - lattice.mass.begin())];
  std::vector<double> values(size);
  for (std::size_t i = 0; i < lattice.index.size(); ++i) {
    values[Wrapped(lattice.index[i] - made.start, size)] += lattice.mass[i];
  }
  const double apart = std::exchange(values[0], 0);
  double squares = 0;
  for (const double value : values) squares += value * value;
  made.terms = fourier.Transform(values);
  for (Complex& term : made.terms) term += apart;
  made.error = TransformError(size) * std::sqrt(static_cast<double>(size) * squares);
  return made;
}

Composed ComposeOnLattice(std::span<const LatticeLoss> lattices, std::span<const Part> parts,
                          std::size_t size) {
  Composed made;
  if (parts.size() == 1 && parts[0].count == 1) {
    made.mass.resize(size);
    for (std::size_t i = 0; i < lattices[0].index.size(); ++i) {
      made.mass[Wrapped(lattices[0].index[i], size)] += lattices[0].mass[i];
    }
    return made;
  }
  std::vector<Complex> terms(size / 2 + 1, 1.0);
  double log_total = 0;
  double input_error = 0;
  double rounding = TransformError(size);
  const Fourier fourier(size);
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const PartTransform part = TransformOf(lattices[p], size, fourier);
    for (std::size_t k = 0; k < terms.size(); ++k) {
      terms[k] = Product(terms[k], Power(part.terms[k], parts[p].count));
    }
    // A term's error e becomes at most count (|f| + e)^(count - 1) e, and |f| is at most the sum. A
    // product of complex numbers has a relative error of √5 roundings, a power count times that.
    const auto count = static_cast<double>(parts[p].count);
    const double total = Sum(lattices[p].mass);
    made.start += parts[p].count * part.start;
    log_total += count * std::log(total);
    input_error += count * part.error / total;
    rounding += (1.5 * count + 8) * kUnit;
  }
  double squares = 0;
  for (const Complex& term : terms) squares += 2 * std::norm(term);
  made.mass = fourier.Inverse(terms);
  // The Euclidean norm of the terms' errors bounds the sum of the values' (Parseval, Cauchy).
  made.error = std::exp(log_total + input_error) * input_error + rounding * std::sqrt(squares) +
               1e-30 * std::sqrt(static_cast<double>(size));
  return made;
}

}  // namespace

double SpacingFor(std::span<const Part> parts, double tilt, double rise) {
  double count = 0;
  double span = 0;
  for (const Part& part : parts) {
    count += static_cast<double>(part.count);
    span = std::max(span, part.loss->loss.back() - part.loss->loss.front());
  }
  if (span == 0) return 1;
  // Losses spread evenly over a cell cost tilt (tilt + 1) spacing² / 12 each, others less or more.
  double spacing = std::min(span, std::sqrt(12 * 0.85 * rise / (tilt * (tilt + 1) * count)));
  double good = 0;
  double bad = kInfinity;
  for (int i = 0; i < 40; ++i) {
    const double growth = LogGrowth(parts, tilt, spacing);
    (growth <= rise ? good : bad) = spacing;
    if (good == span || (growth > 0.7 * rise && growth <= rise) || bad < 1.02 * good) break;
    double next = spacing * (growth > 0 ? std::sqrt(0.9 * rise / growth) : 16);
    if (!(next > good * 1.01)) next = std::isinf(bad) ? 2 * good : std::sqrt(good * bad);
    if (!(next < bad * 0.99)) next = good > 0 ? std::sqrt(good * bad) : bad / 4;
    spacing = std::min(span, next);
  }
  if (good > 0) spacing = good;
  if (parts.size() > 1) return spacing;
  // Both ends on the lattice, where bounded losses have their atoms.
  return span / std::ceil(span / spacing * (1 - 1e-9));
}

std::optional<TiltedLoss> Compose(std::span<const Part> parts, double tilt, double spacing,
                                  double outside, std::size_t longest) {
  TiltedLoss made;
  std::vector<LatticeLoss> lattices;
  Window window;
  std::size_t size = 0;
  for (int attempt = 0;; ++attempt) {
    if (attempt == kMostWidenings || !(spacing > 0)) return std::nullopt;
    made.coarse = attempt > 0;
    for (const Part& part : parts) made.coarse = made.coarse || part.loss->coarse;
    lattices.clear();
    for (const Part& part : parts) {
      lattices.push_back(OnLattice(*part.loss, tilt, spacing));
      const double sum = Sum(lattices.back().mass);
      if (!(sum > 0 && std::isfinite(sum))) return std::nullopt;
    }
    window = WindowOf(lattices, parts, outside);
    const double needed = static_cast<double>(window.last - window.first) + 1;
    size = FourierSize(static_cast<std::size_t>(std::min(needed, 1e9)));
    if (size <= longest) break;
    // With some room, since masses spread a little more on a coarser lattice.
    spacing *= std::max(1.05, needed / static_cast<double>(longest) * 1.04);
  }
  const Composed composed = ComposeOnLattice(lattices, parts, size);
  double origin = 0;
  double log_total = 0;
  double log_stray = 0;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const auto count = static_cast<double>(parts[p].count);
    const double total = Sum(lattices[p].mass);
    origin += count * lattices[p].origin;
    made.shift += count * (lattices[p].shift + parts[p].loss->shift);
    log_total += count * std::log(total);
    log_stray += count * std::log1p(parts[p].loss->stray / total);
  }
  made.stray = std::exp(log_total) * std::expm1(log_stray) + outside + composed.error;
  // Ends that hold nothing to speak of are left out, and counted as stray.
  const double least = outside / static_cast<double>(size);
  std::int64_t first = window.first;
  std::int64_t last = window.last;
  while (first < last && composed.At(first) < least)
    made.stray += std::max(0.0, composed.At(first++));
  while (first < last && composed.At(last) < least)
    made.stray += std::max(0.0, composed.At(last--));
  made.loss.reserve(static_cast<std::size_t>(last - first) + 1);
  made.mass.reserve(static_cast<std::size_t>(last - first) + 1);
  for (std::int64_t index = first; index <= last; ++index) {
    made.loss.push_back(origin + static_cast<double>(index) * spacing);
    made.mass.push_back(std::max(0.0, composed.At(index)));
  }
  return made;
}

}  // namespace cloister::dp
