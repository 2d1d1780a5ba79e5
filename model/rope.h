#pragma once

#include <cstdint>
#include <vector>

namespace cloister::model {

// Rotary embedding: position p turns pair i of a head's rotary part by p times an inverse
// frequency, theta^(-2i/rotary_dim) changed as the type says. The definitions are those of
// transformers' modeling_rope_utils.
struct Rope {
  enum class Type {
    kDefault,   // as it is
    kLinear,    // every frequency divided by `factor`
    kDynamic,   // theta grows with sequences longer than original_max_positions (NTK-aware)
    kLlama3,    // low frequencies divided by `factor`, with a smooth ramp (Llama 3.1)
    kYarn,      // the same with YaRN's ramp, and sines and cosines scaled (arXiv 2309.00071)
    kDivisors,  // each frequency divided by its own number: GGUF's rope_freqs.weight
  };
  // Which rows of a head form a pair: (i, i + rotary_dim/2), or (2i, 2i + 1).
  enum class Layout { kHalves, kInterleaved };

  Type type = Type::kDefault;
  Layout layout = Layout::kHalves;
  double theta = 10000.0;
  double factor = 1.0;                      // all but kDefault and kDivisors; at least 1
  std::int64_t original_max_positions = 0;  // kDynamic, kLlama3, kYarn: the training context
  double low_freq_factor = 1.0;             // kLlama3
  double high_freq_factor = 4.0;            // kLlama3
  double beta_fast = 32.0;                  // kYarn: rotations above which nothing is divided
  double beta_slow = 1.0;                   // kYarn: rotations below which all is
  bool truncate = true;                     // kYarn: the ramp's ends are whole dimensions
  double mscale = 0.0;                      // kYarn; 0: not given
  double mscale_all_dim = 0.0;              // kYarn; 0: not given
  double attention_factor = 0.0;            // kYarn; 0: derived from factor and the mscales
  std::vector<double> divisors;             // kDivisors: rotary_dim/2 positive numbers

  // The rotary_dim/2 inverse frequencies, in fp64, of a sequence of `length` positions; only
  // kDynamic depends on it.
  std::vector<double> InverseFrequencies(std::int64_t rotary_dim, std::int64_t length = 0) const;
  bool DependsOnLength() const { return type == Type::kDynamic; }
  // What the default frequencies are divided by (rotary_dim/2 numbers, all 1 for kDefault and, at
  // its original length, kDynamic).
  std::vector<double> Divisors(std::int64_t rotary_dim) const;
  // What sines and cosines are multiplied by: 1 but for kYarn.
  double RotationScale() const;
  // What the scores of latent attention are multiplied by besides 1/sqrt(head_dim): DeepSeek's
  // mscale squared, 1 without mscale_all_dim.
  double LatentScoreScale() const;

  friend bool operator==(const Rope&, const Rope&) = default;
};

// The rope whose frequencies are theta^(-2i/n) / divisors[i] (n = 2 * divisors.size()): `default`
// when all are 1, `llama3` when Llama 3.1's ramp (factors 1 and 4, any power-of-two context)
// reproduces them to fp32, `divisors` otherwise.
Rope RopeFromDivisors(double theta, std::vector<double> divisors);

}  // namespace cloister::model
