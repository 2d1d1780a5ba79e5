// Quantization to blocks of 256: a search for the scales whose weighted squared error is least.
//
// A sub-block is fitted on its own first. Levels are x rounded on a grid; for each of some grids
// the scale (and minimum) that fit those levels best solve a small least-squares problem, and the
// best of them wins. Then the eight or sixteen scales are rounded to multiples of the block's own
// scale, and each is moved by at most one step where that lowers the error after rounding.
//
// Larger weights count more, as in ggml's reference, which calls for smaller errors where the
// network is most sensitive without calibration data.
#include <algorithm>
#include <cmath>

#include "model/blocks/super_blocks.h"

namespace cloister::model::blocks {
namespace {

using Affine = AffineSuperBlock;
using Signed = SignedSuperBlock;

// Four numbers that the compiler keeps in one register.
using Lanes [[gnu::vector_size(16)]] = float;
constexpr int kLanes = 4;

Lanes All(float value) { return Lanes{value, value, value, value}; }

Lanes Load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

// To the nearest whole number in low … high, ties to even: at 2^23 a float's last bit counts ones.
Lanes RoundTo(Lanes value, float low, float high) {
  const Lanes least = All(low);
  const Lanes most = All(high);
  const Lanes shift = All(12582912.0f);
  value = value > least ? value : least;
  value = value < most ? value : most;
  return (value + shift) - shift;
}

float Total(Lanes lanes) { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }

// How an affine sub-block is searched: `grids` grids from `finest` on, each the one that maps the
// range to top + offset levels.
struct AffineSearch {
  float top;
  float first_offset;
  float offset_step;
  int grids;
};
constexpr AffineSearch kSearchQ4 = {15.0f, -1.0f, 0.1f, 21};
constexpr AffineSearch kSearchQ5 = {31.0f, -0.5f, 0.1f, 16};

struct Part {
  const float* x;
  float importance[Affine::kPart];
};

// weight ≈ scale * level - minimum, both at least zero.
struct Fit {
  float scale = 0;
  float minimum = 0;
};

struct Moments {
  double w = 0;
  double x = 0;
};

Part PartAt(const float* x) {
  Part part{x, {}};
  float squares = 0;
  for (int i = 0; i < Affine::kPart; ++i) squares += x[i] * x[i];
  const float typical = std::sqrt(squares / Affine::kPart);
  for (int i = 0; i < Affine::kPart; ++i) part.importance[i] = typical + std::fabs(x[i]);
  return part;
}

Moments MomentsOf(const Part& part) {
  Lanes w = All(0);
  Lanes x = All(0);
  for (int i = 0; i < Affine::kPart; i += kLanes) {
    const Lanes importance = Load(part.importance + i);
    w += importance;
    x += importance * Load(part.x + i);
  }
  return {Total(w), Total(x)};
}

struct GridSums {
  double l = 0;   // sum of importance * level
  double ll = 0;  // sum of importance * level^2
  double xl = 0;  // sum of importance * x * level
};

GridSums SumsOnGrid(const Part& part, float low, float inverse, float top) {
  Lanes l = All(0);
  Lanes ll = All(0);
  Lanes xl = All(0);
  for (int i = 0; i < Affine::kPart; i += kLanes) {
    const Lanes x = Load(part.x + i);
    const Lanes level = RoundTo((x - All(low)) * All(inverse), 0, top);
    const Lanes weighted = Load(part.importance + i) * level;
    l += weighted;
    ll += weighted * level;
    xl += weighted * x;
  }
  return {Total(l), Total(ll), Total(xl)};
}

Fit FitPart(const Part& part, const AffineSearch& search) {
  const auto [lowest, highest] = std::minmax_element(part.x, part.x + Affine::kPart);
  const float low = std::min(*lowest, 0.0f);
  if (!(*highest > low)) return {0, -low};
  const Moments m = MomentsOf(part);
  Fit best;
  double best_gain = -1;
  for (int grid = 0; grid < search.grids; ++grid) {
    const float steps =
        search.top + search.first_offset + search.offset_step * static_cast<float>(grid);
    const GridSums s = SumsOnGrid(part, low, steps / (*highest - low), search.top);
    const double determinant = m.w * s.ll - s.l * s.l;
    if (!(determinant > 0)) continue;
    double scale = (m.w * s.xl - m.x * s.l) / determinant;
    double offset = (s.ll * m.x - s.l * s.xl) / determinant;
    if (offset > 0) {  // a minimum is stored as a magnitude to subtract
      offset = 0;
      scale = s.xl / s.ll;
    }
    // By how much the error is less than that of all zeros.
    const double gain = 2 * (scale * s.xl + offset * m.x) - scale * scale * s.ll -
                        2 * scale * offset * s.l - offset * offset * m.w;
    if (gain <= best_gain) continue;
    best_gain = gain;
    best = {static_cast<float>(scale), static_cast<float>(-offset)};
  }
  return best;
}

float ErrorOf(const Part& part, float scale, float minimum, float top) {
  const Lanes inverse = All(scale > 0 ? 1.0f / scale : 0.0f);
  Lanes error = All(0);
  for (int i = 0; i < Affine::kPart; i += kLanes) {
    const Lanes shifted = Load(part.x + i) + All(minimum);
    const Lanes distance = RoundTo(shifted * inverse, 0, top) * All(scale) - shifted;
    error += Load(part.importance + i) * distance * distance;
  }
  return Total(error);
}

// Whole numbers next to value / unit, in 0 … 63.
struct Steps {
  int first;
  int last;
};
Steps StepsAround(float value, float unit) {
  const float exact = unit > 0 ? std::min(value / unit, 63.0f) : 0.0f;
  const int nearest = static_cast<int>(std::lrintf(exact));
  return {std::max(nearest - 1, 0), std::min(nearest + 1, 63)};
}

// A sixty-third of the largest, as it is stored.
float Unit(float largest) { return HalfToFloat(FloatToHalf(largest / 63.0f)); }

void RoundPart(const Part& part, const Fit& fit, float top, int s, Affine& block) {
  const Steps scales = StepsAround(fit.scale, block.scale);
  const Steps minimums = StepsAround(fit.minimum, block.minimum);
  float least = HUGE_VALF;
  for (int scale = scales.first; scale <= scales.last; ++scale) {
    for (int minimum = minimums.first; minimum <= minimums.last; ++minimum) {
      const float error = ErrorOf(part, block.scale * static_cast<float>(scale),
                                  block.minimum * static_cast<float>(minimum), top);
      if (!(error < least)) continue;
      least = error;
      block.scales[s] = static_cast<std::uint8_t>(scale);
      block.minimums[s] = static_cast<std::uint8_t>(minimum);
    }
  }
  const float scale = block.scale * static_cast<float>(block.scales[s]);
  const float minimum = block.minimum * static_cast<float>(block.minimums[s]);
  const Lanes inverse = All(scale > 0 ? 1.0f / scale : 0.0f);
  for (int i = 0; i < Affine::kPart; i += kLanes) {
    const Lanes level = RoundTo((Load(part.x + i) + All(minimum)) * inverse, 0, top);
    for (int lane = 0; lane < kLanes; ++lane) {
      block.levels[s * Affine::kPart + i + lane] = static_cast<std::uint8_t>(level[lane]);
    }
  }
}

Affine SearchAffine(const float* from, const AffineSearch& search) {
  Part parts[Affine::kParts];
  Fit fits[Affine::kParts];
  float largest_scale = 0;
  float largest_minimum = 0;
  for (int s = 0; s < Affine::kParts; ++s) {
    parts[s] = PartAt(from + s * Affine::kPart);
    fits[s] = FitPart(parts[s], search);
    largest_scale = std::max(largest_scale, fits[s].scale);
    largest_minimum = std::max(largest_minimum, fits[s].minimum);
  }
  Affine block;
  block.scale = Unit(largest_scale);
  block.minimum = Unit(largest_minimum);
  for (int s = 0; s < Affine::kParts; ++s) RoundPart(parts[s], fits[s], search.top, s, block);
  return block;
}

// ---- Q6_K: no minimums, levels -32 … 31 ----

constexpr float kLowest = -32.0f;
constexpr float kHighest = 31.0f;

// The scale that fits 16 weights best, of either sign.
float FitSigned(const float* x) {
  float extreme = 0;
  for (int i = 0; i < Signed::kPart; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  if (!(std::fabs(extreme) > 1e-15f)) return 0;
  float best = 0;
  double best_gain = -1;
  for (int grid = -9; grid <= 9; ++grid) {
    const Lanes inverse = All((kLowest - 0.1f * static_cast<float>(grid)) / extreme);
    Lanes xl = All(0);
    Lanes ll = All(0);
    for (int i = 0; i < Signed::kPart; i += kLanes) {
      const Lanes value = Load(x + i);
      const Lanes level = RoundTo(value * inverse, kLowest, kHighest);
      const Lanes weighted = value * value * level;
      xl += weighted * value;
      ll += weighted * level;
    }
    const double fitted = Total(xl);
    const double squares = Total(ll);
    if (!(squares > 0) || fitted * fitted / squares <= best_gain) continue;
    best_gain = fitted * fitted / squares;
    best = static_cast<float>(fitted / squares);
  }
  return best;
}

float SignedErrorOf(const float* x, float scale) {
  const Lanes inverse = All(scale != 0 ? 1.0f / scale : 0.0f);
  Lanes error = All(0);
  for (int i = 0; i < Signed::kPart; i += kLanes) {
    const Lanes value = Load(x + i);
    const Lanes distance = RoundTo(value * inverse, kLowest, kHighest) * All(scale) - value;
    error += value * value * distance * distance;
  }
  return Total(error);
}

void RoundSigned(const float* x, float fit, int s, Signed& block) {
  const float exact = block.scale != 0 ? fit / block.scale : 0.0f;
  const int nearest = static_cast<int>(std::lrintf(std::clamp(exact, -128.0f, 127.0f)));
  float least = HUGE_VALF;
  for (int step = std::max(nearest - 1, -128); step <= std::min(nearest + 1, 127); ++step) {
    const float error = SignedErrorOf(x, block.scale * static_cast<float>(step));
    if (!(error < least)) continue;
    least = error;
    block.scales[s] = static_cast<std::int8_t>(step);
  }
  const float scale = block.scale * static_cast<float>(block.scales[s]);
  const Lanes inverse = All(scale != 0 ? 1.0f / scale : 0.0f);
  for (int i = 0; i < Signed::kPart; i += kLanes) {
    const Lanes level = RoundTo(Load(x + i) * inverse, kLowest, kHighest);
    for (int lane = 0; lane < kLanes; ++lane) {
      block.levels[s * Signed::kPart + i + lane] = static_cast<std::int8_t>(level[lane]);
    }
  }
}

}  // namespace

void QuantizeQ4_K(const float* from, std::byte* block) {
  PackQ4_K(SearchAffine(from, kSearchQ4), block);
}

void QuantizeQ5_K(const float* from, std::byte* block) {
  PackQ5_K(SearchAffine(from, kSearchQ5), block);
}

// The largest scale maps to -128, so that its rounding is exact.
void QuantizeQ6_K(const float* from, std::byte* block) {
  float fits[Signed::kParts];
  float largest = 0;
  for (int s = 0; s < Signed::kParts; ++s) {
    fits[s] = FitSigned(from + s * Signed::kPart);
    if (std::fabs(fits[s]) > std::fabs(largest)) largest = fits[s];
  }
  Signed parts;
  parts.scale = HalfToFloat(FloatToHalf(largest / -128.0f));
  for (int s = 0; s < Signed::kParts; ++s) RoundSigned(from + s * Signed::kPart, fits[s], s, parts);
  PackQ6_K(parts, block);
}

}  // namespace cloister::model::blocks
