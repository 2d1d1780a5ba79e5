#include "inference/engine/expert_mixture.h"

#include <algorithm>

#include "inference/engine/expert_choice.h"

namespace cloister::inference {
namespace cpu = kernels::cpu;

ExpertMixture::ExpertMixture(Pass& pass, std::int64_t max_batch)
    : pass_(pass),
      mlp_(pass,
           pass.architecture().experts->intermediate_size *
               std::max<std::int64_t>(1, pass.architecture().experts->shared),
           max_batch),
      logits_(static_cast<std::size_t>(max_batch * pass.architecture().experts->count)),
      visits_(static_cast<std::size_t>(pass.architecture().experts->count)),
      result_(static_cast<std::size_t>(max_batch * pass.architecture().hidden_size)) {}

void ExpertMixture::Run(const ExpertsWeights& weights, cpu::Activations& input, float* output) {
  const std::int64_t hidden = pass_.architecture().hidden_size;
  Choose(weights, input);
  std::fill_n(output, input.tokens() * hidden, 0.0f);
  for (std::size_t i = 0; i < visits_.size(); ++i) {
    if (!visits_[i].empty()) RunExpert(weights.each[i], visits_[i], input, output);
  }
  if (!weights.shared) return;
  mlp_.Run(*weights.shared, input, result_.data());
  pass_.kernels().axpy(1.0f, result_.data(), output, input.tokens() * hidden);
}

void ExpertMixture::Choose(const ExpertsWeights& weights, cpu::Activations& input) {
  const model::Experts& experts = *pass_.architecture().experts;
  const cpu::Product product{&weights.router, logits_.data(), experts.count};
  cpu::Linear(pass_.kernels(), pass_.pool(), input, {&product, 1});
  for (std::vector<Visit>& visits : visits_) visits.clear();
  const auto count = static_cast<std::size_t>(experts.count);
  for (std::int64_t t = 0; t < input.tokens(); ++t) {
    const auto logits =
        std::span<const float>(logits_).subspan(static_cast<std::size_t>(t) * count, count);
    for (const ChosenExpert& chosen : ChooseExperts(experts, logits, weights.bias)) {
      visits_[static_cast<std::size_t>(chosen.index)].push_back({t, chosen.weight});
    }
  }
}

void ExpertMixture::RunExpert(const MlpWeights& weights, const std::vector<Visit>& visits,
                              const cpu::Activations& input, float* output) {
  const std::int64_t hidden = pass_.architecture().hidden_size;
  const auto count = static_cast<std::int64_t>(visits.size());
  gathered_.Resize(count, hidden);
  for (std::int64_t i = 0; i < count; ++i) {
    std::copy_n(input.row(visits[static_cast<std::size_t>(i)].token), hidden, gathered_.row(i));
  }
  mlp_.Run(weights, gathered_, result_.data());
  for (std::int64_t i = 0; i < count; ++i) {
    const Visit& visit = visits[static_cast<std::size_t>(i)];
    pass_.kernels().axpy(visit.weight, result_.data() + i * hidden, output + visit.token * hidden,
                         hidden);
  }
}

}  // namespace cloister::inference
