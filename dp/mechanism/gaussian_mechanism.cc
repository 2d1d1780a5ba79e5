#include "dp/mechanism/gaussian_mechanism.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "dp/mechanism/aliasing.h"
#include "dp/mechanism/lattice_rounding.h"
#include "dp/mechanism/unnoised.h"

namespace cloister::dp {
namespace {

constexpr double kLeastSigma = 16;  // of a share, in lattice units: LatticeSampler's domain
constexpr double kLargestSigma = 0x1p40;
// Memory is taken beforehand for noise of up to so many deviations: one sample in 2^62 is beyond.
constexpr double kReservedReach = 9;
constexpr std::int64_t kMostShares = 1024;
constexpr std::int64_t kNoiseBlock = std::int64_t{1} << 20;  // samples of one stream
constexpr std::int64_t kNoisePiece = std::int64_t{1} << 13;  // samples that are held at a time

tl::unexpected<base::Error> Bad(const std::string& parameter, const std::string& rule) {
  return base::Fail(base::Code::kInvalidArgument, "Gaussian mechanism, " + parameter + ": " + rule);
}

double ShareSigma(const GaussianMechanism::Parameters& p) {
  return p.noise_multiplier * p.clip_norm / std::sqrt(static_cast<double>(p.noise_shares)) /
         p.spacing;
}

LatticeRounding RoundingOf(const GaussianMechanism::Parameters& p) {
  return {"Gaussian mechanism", p.clip_norm, p.dimension, p.spacing, p.neighbours};
}

// Written so that a NaN fails.
base::Status CheckParameters(const GaussianMechanism::Parameters& p) {
  if (!(p.noise_multiplier > 0 && p.noise_multiplier <= 1e9)) {
    return Bad("noise_multiplier", "give a number above 0 and at most 1e9");
  }
  if (!(p.sampling_rate > 0 && p.sampling_rate <= 1)) {
    return Bad("sampling_rate", "give a number above 0 and at most 1");
  }
  if (p.largest_coordinate && *p.largest_coordinate < 1) {
    return Bad("largest_coordinate", "give 1 or more, or none");
  }
  if (p.noise_shares < 1 || p.noise_shares > p.summed_shares || p.summed_shares > kMostShares) {
    return Bad("noise_shares", "give 1 <= noise_shares <= summed_shares <= 1024");
  }
  CLOISTER_RETURN_IF_ERROR(CheckRounding(RoundingOf(p)));
  if (!(p.spacing > 0 && p.spacing <= p.noise_multiplier * p.clip_norm / 64)) {
    return Bad("spacing", "give a lattice of at most noise_multiplier * clip_norm / 64");
  }
  const double sigma = ShareSigma(p);
  if (!(sigma >= kLeastSigma)) {
    return Bad("spacing", "give a finer lattice: one share's noise must be 16 spacings or more");
  }
  if (!(sigma <= kLargestSigma)) {
    return Bad("spacing", "give a coarser lattice: noise beyond 2^40 spacings is not built");
  }
  return {};
}

}  // namespace

base::Result<GaussianMechanism> GaussianMechanism::Create(const Parameters& parameters,
                                                          security::AesCtrStream random) {
  CLOISTER_RETURN_IF_ERROR(CheckParameters(parameters));
  return GaussianMechanism(parameters, std::move(random));
}

GaussianMechanism::GaussianMechanism(const Parameters& parameters, security::AesCtrStream random)
    : parameters_(parameters), sigma_(ShareSigma(parameters)), random_(std::move(random)) {}

Event GaussianMechanism::event() const {
  const Parameters& p = parameters_;
  Event event;
  event.noise_multiplier = EffectiveMultiplier(p.noise_multiplier, RoundingOf(p));
  event.sampling_rate = p.sampling_rate;
  event.steps = 1;
  event.neighbours = p.neighbours;
  const double a_coordinate =
      static_cast<double>(p.summed_shares) * LatticeSampler::TotalVariationBound(sigma_) +
      AliasingBound(sigma_, p.summed_shares);
  event.delta_slack = static_cast<double>(p.dimension) * a_coordinate;
  return event;
}

Event GaussianMechanism::own_noise_event() const {
  if (parameters_.noise_shares == 1 && parameters_.summed_shares == 1) return event();
  Event own = event();
  own.noise_multiplier /= std::sqrt(static_cast<double>(parameters_.noise_shares));
  // One rounded Gaussian on a lattice point: no aliasing.
  own.delta_slack =
      static_cast<double>(parameters_.dimension) * LatticeSampler::TotalVariationBound(sigma_);
  return own;
}

base::Result<NoisedSum> GaussianMechanism::Release(ClippedSum sum, Ledger& ledger,
                                                   const std::string& data_set,
                                                   const SpendKey& key) {
  CLOISTER_RETURN_IF_ERROR(CheckSum(sum, RoundingOf(parameters_)));
  LatticeSum points = Unnoised::TakePoints(std::move(sum));
  if (parameters_.largest_coordinate) points.Clamp(*parameters_.largest_coordinate);
  CLOISTER_RETURN_IF_ERROR(points.Reserve(kReservedReach * sigma_));
  Spend spend{key, event(), std::nullopt};
  if (parameters_.noise_shares > 1) spend.own_noise_only = own_noise_event();
  CLOISTER_RETURN_IF_ERROR(ledger.Debit(data_set, spend));
  AddNoise(points);
  return NoisedSum(std::move(points), parameters_.spacing);
}

// Each block has a stream of its own, keyed by this one, so that blocks can be filled side by side.
void GaussianMechanism::AddNoise(LatticeSum& points) {
  const std::int64_t blocks = (points.dimension() + kNoiseBlock - 1) / kNoiseBlock;
  std::vector<security::SecretBytes> keys;
  for (std::int64_t block = 0; block < blocks; ++block) {
    random_.Fill(keys.emplace_back(security::SecretBytes(32)).mutable_bytes());
  }
  base::InParallel(blocks, [&](std::int64_t block) {
    LatticeSampler sampler(sigma_,
                           security::AesCtrStream::FromKey(keys[static_cast<std::size_t>(block)]));
    const std::int64_t end = std::min(points.dimension(), (block + 1) * kNoiseBlock);
    std::vector<std::int64_t> noise;
    for (std::int64_t begin = block * kNoiseBlock; begin < end; begin += kNoisePiece) {
      noise.resize(static_cast<std::size_t>(std::min(kNoisePiece, end - begin)));
      sampler.Fill(noise);
      points.Add(begin, noise);
    }
    OPENSSL_cleanse(noise.data(),
                    noise.capacity() * sizeof noise.front());  // it would tell the sum
  });
}

}  // namespace cloister::dp
