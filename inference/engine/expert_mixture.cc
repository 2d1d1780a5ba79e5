#include "inference/engine/expert_mixture.h"

#include <algorithm>

#include "inference/engine/expert_choice.h"

namespace cloister::inference {
namespace cpu = kernels::cpu;
namespace {

std::size_t Size(std::int64_t a, std::int64_t b) { return static_cast<std::size_t>(a * b); }

// Scratch memory grows to what passes need: few of them are as large as a pass may be.
void Grow(std::vector<float>& values, std::int64_t rows, std::int64_t columns) {
  if (values.size() < Size(rows, columns)) values.resize(Size(rows, columns));
}

}  // namespace

ExpertMixture::ExpertMixture(Pass& pass, std::int64_t max_batch)
    : pass_(pass),
      shared_(pass,
              pass.architecture().experts->intermediate_size * pass.architecture().experts->shared,
              max_batch),
      per_token_(pass.architecture().experts->per_token),
      logits_(Size(max_batch, pass.architecture().experts->count)),
      visits_(Size(max_batch, per_token_)),
      starts_(static_cast<std::size_t>(pass.architecture().experts->count) + 1),
      shared_result_(pass.architecture().experts->shared > 0
                         ? Size(max_batch, pass.architecture().hidden_size)
                         : 0) {}

void ExpertMixture::Run(const ExpertsWeights& weights, cpu::Activations& input, float* output) {
  Choose(weights, input);
  SortByExpert(input.tokens());
  RunExperts(weights, input);
  if (weights.shared) shared_.Run(*weights.shared, input, shared_result_.data());
  Combine(input.tokens(), weights.shared.has_value(), output);
}

void ExpertMixture::Choose(const ExpertsWeights& weights, cpu::Activations& input) {
  const model::Experts& experts = *pass_.architecture().experts;
  const cpu::Product product{&weights.router, logits_.data(), experts.count};
  cpu::Linear(pass_.kernels(), pass_.pool(), input, {&product, 1});
  const auto count = static_cast<std::size_t>(experts.count);
  pass_.ForRows(input.tokens(), [&](std::int64_t t) {
    const auto logits =
        std::span<const float>(logits_).subspan(static_cast<std::size_t>(t) * count, count);
    Visit* visit = visits_.data() + t * per_token_;
    for (const ChosenExpert& chosen : ChooseExperts(experts, logits, weights.bias)) {
      *visit++ = {chosen.index, chosen.weight, 0};
    }
  });
}

// Gives each visit its row: experts by rising index, an expert's tokens in their order.
void ExpertMixture::SortByExpert(std::int64_t tokens) {
  const auto visits = std::span(visits_).first(Size(tokens, per_token_));
  std::fill(starts_.begin(), starts_.end(), 0);
  for (const Visit& visit : visits) ++starts_[static_cast<std::size_t>(visit.expert) + 1];
  for (std::size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
  std::vector<std::int64_t> next = starts_;
  for (Visit& visit : visits) visit.row = next[static_cast<std::size_t>(visit.expert)]++;
}

void ExpertMixture::RunExperts(const ExpertsWeights& weights, cpu::Activations& input) {
  const std::int64_t hidden = pass_.architecture().hidden_size;
  const std::int64_t size = pass_.architecture().experts->intermediate_size;
  const std::int64_t rows = starts_.back();
  Grow(gate_, rows, size);
  Grow(up_, rows, size);
  Grow(result_, rows, hidden);
  // One token's experts read the same row.
  const bool one = input.tokens() == 1;
  cpu::Activations& gathered = one ? input : Gather(input);
  std::vector<cpu::Product> inner, outer;
  for (std::size_t i = 0; i + 1 < starts_.size(); ++i) {
    const std::int64_t first = starts_[i];
    const std::int64_t count = starts_[i + 1] - first;
    if (count == 0) continue;
    const MlpWeights& expert = weights.each[i];
    const std::int64_t from = one ? 0 : first;
    inner.push_back({&expert.gate.matrix, gate_.data() + first * size, size, from, count});
    inner.push_back({&expert.up.matrix, up_.data() + first * size, size, from, count});
    outer.push_back({&expert.down.matrix, result_.data() + first * hidden, hidden, first, count});
  }
  cpu::Linear(pass_.kernels(), pass_.pool(), gathered, inner);
  gated_.Resize(rows, size);
  pass_.ForRows(rows, [&](std::int64_t r) {
    pass_.kernels().silu_multiply(gate_.data() + r * size, up_.data() + r * size, size,
                                  gated_.row(r));
  });
  cpu::Linear(pass_.kernels(), pass_.pool(), gated_, outer);
}

// The hidden state of each visit.
cpu::Activations& ExpertMixture::Gather(cpu::Activations& input) {
  const std::int64_t hidden = pass_.architecture().hidden_size;
  gathered_.Resize(starts_.back(), hidden);
  pass_.ForRows(input.tokens(), [&](std::int64_t t) {
    for (std::int64_t i = 0; i < per_token_; ++i) {
      const Visit& visit = visits_[static_cast<std::size_t>(t * per_token_ + i)];
      std::copy_n(input.row(t), hidden, gathered_.row(visit.row));
    }
  });
  return gathered_;
}

// The weighted sum of each token's experts, and what the shared ones give.
void ExpertMixture::Combine(std::int64_t tokens, bool shared, float* output) {
  const std::int64_t hidden = pass_.architecture().hidden_size;
  const cpu::Kernels& kernels = pass_.kernels();
  pass_.ForRows(tokens, [&](std::int64_t t) {
    float* to = output + t * hidden;
    std::fill_n(to, hidden, 0.0f);
    for (std::int64_t i = 0; i < per_token_; ++i) {
      const Visit& visit = visits_[static_cast<std::size_t>(t * per_token_ + i)];
      kernels.axpy(visit.weight, result_.data() + visit.row * hidden, to, hidden);
    }
    if (shared) kernels.axpy(1.0f, shared_result_.data() + t * hidden, to, hidden);
  });
}

}  // namespace cloister::inference
