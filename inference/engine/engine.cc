#include "inference/engine/engine.h"

#include <algorithm>
#include <bit>
#include <string>
#include <thread>

#include "inference/engine/kv_cache.h"
#include "inference/engine/network.h"
#include "model/check_weights.h"

namespace cloister::inference {
namespace cpu = kernels::cpu;
namespace {

constexpr std::int64_t kMaxBatch = 256;    // tokens a pass: each weight is read once for all
constexpr std::int64_t kLogitsBatch = 16;  // rows of logits held at once
constexpr int kMaxThreads = 256;

// Tells which weights are to blame where it can: only then is every one of them looked at.
base::Status CheckFinite(std::span<const float> logits, const model::ModelFiles& files) {
  // As integers, infinities and NaN are larger than every finite magnitude.
  std::uint32_t largest = 0;
  for (const float logit : logits) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(logit) & 0x7fffffffu);
  }
  if (largest < 0x7f800000u) return {};
  CLOISTER_RETURN_IF_ERROR(model::CheckWeights(files));
  return base::Fail(base::Code::kDataLoss,
                    "the model's logits are not finite numbers: its weights do not fit its "
                    "configuration");
}

}  // namespace

Engine::Engine(const model::Architecture& architecture, cpu::Tier tier, int threads)
    : architecture_(architecture), tier_(tier), threads_(threads) {}

Engine::~Engine() = default;

base::Result<std::unique_ptr<Engine>> Engine::Load(std::shared_ptr<const model::ModelFiles> files,
                                                   const EngineOptions& options) {
  CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files->architecture());
  CLOISTER_RETURN_IF_ERROR(model::Validate(architecture));
  if (options.threads < 0 || options.threads > kMaxThreads) {
    return base::Fail(base::Code::kInvalidArgument,
                      "threads is " + std::to_string(options.threads) + ": give 1 to " +
                          std::to_string(kMaxThreads) + ", or 0 for one a processor");
  }
  if (options.context < 0 || options.context > architecture.max_context()) {
    return base::Fail(base::Code::kInvalidArgument,
                      std::to_string(options.context) + " tokens are wanted, but the model has " +
                          std::to_string(architecture.max_context()) +
                          " positions: give it less text or ask for fewer new tokens");
  }
  const std::int64_t context = options.context > 0 ? options.context : architecture.max_context();
  const int hardware = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const int threads = options.threads > 0 ? options.threads : std::min(hardware, kMaxThreads);
  const cpu::Tier tier = options.tier.value_or(cpu::BestTier());
  CLOISTER_ASSIGN_OR_RETURN(const cpu::Kernels* kernels, cpu::Select(tier));
  CLOISTER_ASSIGN_OR_RETURN(Weights weights,
                            LoadWeights(files, architecture, options.weights_as_f32));
  CLOISTER_ASSIGN_OR_RETURN(KvCache cache, KvCache::Create(architecture, context));
  std::unique_ptr<Engine> engine(new Engine(architecture, tier, threads));
  engine->files_ = std::move(files);
  engine->cache_ = std::make_unique<KvCache>(std::move(cache));
  engine->network_ = std::make_unique<Network>(architecture, std::move(weights), *kernels, threads,
                                               context, std::min(kMaxBatch, context));
  engine->logits_.resize(static_cast<std::size_t>(architecture.vocab_size));
  return engine;
}

base::Status Engine::Check(std::span<const model::TokenId> ids) const {
  if (ids.empty()) {
    return base::Fail(base::Code::kOutOfRange, "no tokens to read: give at least one");
  }
  const auto wanted = position() + static_cast<std::int64_t>(ids.size());
  if (wanted > context()) {
    return base::Fail(base::Code::kOutOfRange, "the sequence would hold " + std::to_string(wanted) +
                                                   " tokens, but the context holds " +
                                                   std::to_string(context()) +
                                                   ": give less text or ask for fewer new tokens");
  }
  for (const model::TokenId id : ids) {
    if (id < 0 || id >= architecture_.vocab_size) {
      return base::Fail(base::Code::kOutOfRange, "token id " + std::to_string(id) +
                                                     " is outside the vocabulary of " +
                                                     std::to_string(architecture_.vocab_size) +
                                                     ": use ids of this model's tokenizer");
    }
  }
  return {};
}

base::Result<std::span<const float>> Engine::Prefill(std::span<const model::TokenId> ids) {
  CLOISTER_RETURN_IF_ERROR(Check(ids));
  const std::int64_t length = position() + static_cast<std::int64_t>(ids.size());
  std::size_t count = 0;
  for (std::size_t begin = 0; begin < ids.size(); begin += count) {
    count = std::min<std::size_t>(kMaxBatch, ids.size() - begin);
    network_->Run(ids.subspan(begin, count), length, *cache_);
  }
  logits_.resize(static_cast<std::size_t>(architecture_.vocab_size));
  network_->Logits(static_cast<std::int64_t>(count) - 1, 1, logits_.data());
  CLOISTER_RETURN_IF_ERROR(CheckFinite(logits_, *files_));
  return std::span<const float>(logits_);
}

base::Status Engine::Evaluate(std::span<const model::TokenId> ids, std::int64_t first,
                              const LogitsReader& read) {
  CLOISTER_RETURN_IF_ERROR(Check(ids));
  const auto vocab = static_cast<std::size_t>(architecture_.vocab_size);
  const auto total = static_cast<std::int64_t>(ids.size());
  const std::int64_t length = position() + total;
  for (std::int64_t begin = 0; begin < total; begin += kMaxBatch) {
    const std::int64_t end = std::min(begin + kMaxBatch, total);
    network_->Run(
        ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)), length,
        *cache_);
    for (std::int64_t row = std::max(begin, first); row < end; row += kLogitsBatch) {
      const std::int64_t rows = std::min(kLogitsBatch, end - row);
      logits_.resize(static_cast<std::size_t>(rows) * vocab);
      network_->Logits(row - begin, rows, logits_.data());
      CLOISTER_RETURN_IF_ERROR(CheckFinite(logits_, *files_));
      for (std::int64_t i = 0; i < rows; ++i) {
        const auto at = static_cast<std::size_t>(i) * vocab;
        CLOISTER_RETURN_IF_ERROR(read(row + i, std::span(logits_).subspan(at, vocab)));
      }
    }
  }
  return {};
}

void Engine::Reset() { cache_->Clear(); }
std::int64_t Engine::position() const { return cache_->size(); }
std::int64_t Engine::context() const { return cache_->context(); }

}  // namespace cloister::inference
