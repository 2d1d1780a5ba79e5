#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "dp/mechanism/privacy_types.h"
#include "model/adapter.h"
#include "trainer/data/data_format.h"
#include "trainer/data/example.h"
#include "trainer/data/truncation.h"
#include "trainer/networks/compute_options.h"
#include "trainer/optimisation/optimizer.h"
#include "trainer/optimisation/schedule.h"

namespace cloister::trainer {

// What `cloister train` does, as read from a YAML recipe (configs/*.yaml explain every key).
struct Recipe {
  std::filesystem::path model;
  std::filesystem::path output;

  // Why figures of held-out records may be shown where a run is private.
  enum class Consent { kPublic, kConsented };

  struct Data {
    std::filesystem::path train;
    std::optional<std::filesystem::path> eval;
    std::int64_t eval_rows = 0;  // 0: all
    std::int64_t max_tokens = 0;
    Truncation truncation = Truncation::kRight;
    DataLayout layout;
    // What the report and the model card say of them; nothing else depends on it.
    std::optional<std::string> license;   // of the training data
    std::optional<Consent> eval_consent;  // of the held-out files, those of `evaluation` too
  } data;

  // What the model is judged by before and after (docs/reference/evaluation.md), a file a kind.
  struct Evaluation {
    std::optional<std::filesystem::path> perplexity, multiple_choice, exact_match;
    std::int64_t rows = 0;             // the first so many of each file; 0: all
    std::int64_t max_new_tokens = 64;  // of an answer that is generated
  };
  std::optional<Evaluation> evaluation;

  // None: every weight is trained ("method: full"). training.compute says what it sits on.
  std::optional<model::LoraConfig> lora;
  // In place of lora->targets: what WithTargetsOf (model/peft/lora_targets.h) makes them of.
  std::string lora_pattern;
  std::uint64_t lora_seed = 0;  // of the adapter's public starting point, and of its dropout

  OptimizerOptions optimizer;
  Schedule schedule;  // of the optimizer's learning rate

  struct Training {
    std::int64_t steps = 0;
    // Both without privacy, and with matrix factorization, where they are public; elsewhere nothing
    // of a private batch is fixed.
    std::int64_t batch_size = 0;
    std::uint64_t seed = 0;               // of the shuffling
    std::int64_t micro_batch_tokens = 0;  // padded tokens
    std::int64_t threads = 0;             // 0: one a core
    std::int64_t eval_every = 0;          // steps; 0: before and after only
    LossMean loss_mean{};                 // kExample with privacy
    // Of the parameters' average, which held-out losses and output are then of.
    std::optional<double> ema_decay;
    // A longer gradient of a plain step is shortened to it: of the mean, as a whole.
    std::optional<double> max_grad_norm;
    ComputeOptions compute;  // `packing`, data.packing in YAML, without privacy alone
  } training;

  // What a run that is interrupted goes on from.
  struct Checkpoints {
    std::filesystem::path folder;
    std::int64_t every = 0;  // steps
    std::int64_t keep = 2;   // the last so many
    // The one of the lowest held-out loss beside them; and whether the output is its.
    bool keep_best = false;
    bool load_best_at_end = false;
  };
  std::optional<Checkpoints> checkpoints;

  // How a unit's gradient is cut: as a whole, by AUTO-S, or each adapted layer alone to clip_norm
  // over the root of their number (dp/clipping/clip_rule.h).
  enum class Clipping { kFlat, kAutomatic, kPerLayer };
  // The clip norm follows a quantile of the units' norms, which is released with noise of its own
  // (Andrew et al. 2021). kFlat alone.
  struct AdaptiveNorm {
    double quantile = 0;                // of the units to be within the norm
    double rate = 0;                    // of the geometric steps
    double count_noise_multiplier = 0;  // over the count's sensitivity
  };

  // Noise that is correlated over the steps (DP-FTRL): each step takes the next batch of units in a
  // fixed order, and all steps together are one Gaussian release under zero-out neighbours
  // (docs/design/0009-matrix-factorization.md).
  struct MatrixFactorization {
    std::int64_t bands = 0;               // of the encoder; at most min_separation
    std::int64_t min_separation = 0;      // steps between two of a unit's participations, at least
    std::int64_t max_participations = 0;  // of a unit, at most: the epochs, rounded up
  };

  // Differential privacy. Nothing here that ε depends on has a default.
  struct Privacy {
    std::optional<double> noise_multiplier;
    std::optional<double> target_epsilon;
    double delta = 0;
    bool allow_large_delta = false;  // one over nominal_units and more
    double clip_norm = 0;            // with `adaptive` the first one
    Clipping clipping{};
    double stability = 0;  // kAutomatic
    std::optional<AdaptiveNorm> adaptive;
    double sampling_rate = 0;  // 0 with `matrix`, where nothing is sampled
    std::optional<MatrixFactorization> matrix;
    dp::PrivacyUnit unit{};
    dp::Neighbours neighbours{};  // zero-out with `matrix`
    // Public. What the sum is divided by is sampling_rate times it; with `matrix` it is the number
    // of slots that units stand in, and the sum is divided by the batch size.
    std::int64_t nominal_units = 0;
    std::int64_t nominal_tokens = 0;  // public tokens a unit; only the printed rate uses it
    // So many of a user's records take part in a step at most, drawn anew each time; 0: all.
    std::int64_t max_records_per_unit = 0;
    std::filesystem::path ledger;
    double budget_epsilon = 0;
    double budget_delta = 0;
  };
  std::optional<Privacy> privacy;
};

// What Consent's values are called, in its order.
inline constexpr std::array<std::string_view, 2> kConsentNames = {"public", "consented"};

// Reads and checks the whole recipe, `overrides` ("a.b=c") laid over it. kInvalidArgument with
// every fault on one line, also for a file that is absent or cannot be read.
base::Result<Recipe> LoadRecipe(const std::filesystem::path& path,
                                std::span<const std::string> overrides);

// The recipe with every value written out; reads back as the same Recipe.
std::string ToYaml(const Recipe& recipe);

// What of it must be the same where a run goes on from a checkpoint, as ToYaml() writes it: all but
// paths (of files whose contents are compared), threads, checkpoints, what only the report tells
// and, where nothing depends on it, the number of steps: without privacy, at a constant learning
// rate. With it, how the order of the data is made.
std::string PinnedRecipe(Recipe recipe);

}  // namespace cloister::trainer
