#include "trainer/networks/adapter_dropout.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/check.h"
#include "base/split_mix.h"
#include "dp/clipping/once_differentiable.h"
#include "trainer/networks/row_tensors.h"

namespace cloister::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::uint64_t Absorbed(std::uint64_t state, std::uint64_t word) {
  return base::SplitMix((state ^ word) + base::kSplitMixStep);
}

// Of two numbers that are next to one another one takes the low half of a word, one the high half:
// each is kept where its half is below `limit`.
struct Rule {
  std::uint64_t limit;  // at most 2^32
  float scale;
};
Rule RuleOf(double rate) {
  return {static_cast<std::uint64_t>((1 - rate) * 0x1p32), static_cast<float>(1 / (1 - rate))};
}

// `size` numbers of one token; `state` is the token's own.
template <typename T>
void DropRow(const T* from, std::int64_t size, std::uint64_t state, const Rule& rule, T* to) {
  for (std::int64_t i = 0; i < size; i += 2) {
    state += base::kSplitMixStep;
    const std::uint64_t word = base::SplitMix(state);
    const bool low = (word & 0xffffffffU) < rule.limit, high = (word >> 32) < rule.limit;
    to[i] = low ? static_cast<T>(from[i] * rule.scale) : T(0);
    if (i + 1 < size) to[i + 1] = high ? static_cast<T>(from[i + 1] * rule.scale) : T(0);
  }
}

// The linear map that is both the forward pass and, being its own transpose, the backward one.
at::Tensor Drop(const at::Tensor& x, const at::Tensor& draws, double rate, std::int64_t path) {
  if (!x.is_cpu()) {
    // The same draws, made here and taken there.
    const at::Tensor factors = Drop(at::ones(x.sizes(), at::kFloat), draws, rate, path);
    return (x.to(at::kFloat) * factors.to(x.device())).to(x.scalar_type());
  }
  const at::Tensor from = x.contiguous();
  at::Tensor to = at::empty_like(from);
  const std::int64_t tokens = x.size(1), size = x.size(2);
  const Rule rule = RuleOf(rate);
  const auto* const draw = draws.const_data_ptr<std::int64_t>();
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "DropInputs", [&] {
    const auto* const source = from.const_data_ptr<scalar_t>();
    auto* const target = to.mutable_data_ptr<scalar_t>();
    ForRows(x.size(0) * tokens, size, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t row = first; row < first + count; ++row) {
        const auto of_path = Absorbed(static_cast<std::uint64_t>(draw[row / tokens]),
                                      static_cast<std::uint64_t>(path));
        const auto state = Absorbed(of_path, static_cast<std::uint64_t>(row % tokens));
        DropRow(source + row * size, size, state, rule, target + row * size);
      }
    });
  });
  return to;
}

struct DropFunction : torch::autograd::Function<DropFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& draws,
                            double rate, std::int64_t path) {
    context->saved_data["draws"] = draws;
    context->saved_data["rate"] = rate;
    context->saved_data["path"] = path;
    return Drop(x, draws, rate, path);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const at::Tensor none;
    return {Drop(gradients[0], context->saved_data["draws"].toTensor(),
                 context->saved_data["rate"].toDouble(), context->saved_data["path"].toInt()),
            none, none, none};
  }
};

}  // namespace

std::vector<std::uint64_t> DrawsOf(std::span<const Example> examples,
                                   std::span<const std::size_t> chosen, std::uint64_t seed,
                                   std::int64_t step) {
  const std::uint64_t start = Absorbed(Absorbed(0, seed), static_cast<std::uint64_t>(step));
  std::vector<std::uint64_t> draws;
  for (const std::size_t index : chosen) {
    std::uint64_t draw = start;
    for (const model::TokenId id : examples[index].ids) {
      draw = Absorbed(draw, static_cast<std::uint64_t>(id));
    }
    draws.push_back(draw);
  }
  return draws;
}

at::Tensor DropInputs(const at::Tensor& x, const Dropout& dropout, std::int64_t path) {
  CLOISTER_CHECK(x.dim() == 3 && x.size(0) == static_cast<std::int64_t>(dropout.draws.size()));
  const std::vector<std::int64_t> draws(dropout.draws.begin(), dropout.draws.end());
  return DropFunction::apply(x, at::tensor(draws, at::TensorOptions(at::kLong)), dropout.rate,
                             path);
}

}  // namespace cloister::trainer
