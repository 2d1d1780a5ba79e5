#include "trainer/networks/rotary.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "base/check.h"

namespace cloister::trainer {
namespace {

using model::Rope;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The first and the second members of a head's pairs, as views.
struct Pairs {
  at::Tensor first, second;
};

Pairs PairsOf(const at::Tensor& x, std::int64_t rotary_dim, Rope::Layout layout) {
  const std::int64_t size = x.size(-1), start = size - rotary_dim, half = rotary_dim / 2;
  if (layout == Rope::Layout::kHalves) {
    return {x.narrow(-1, start, half), x.narrow(-1, start + half, half)};
  }
  return {x.slice(-1, start, size, 2), x.slice(-1, start + 1, size, 2)};
}

// The rotation (sign 1) or its transpose (sign -1): the inverse, but for the tables' scale.
at::Tensor Rotated(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine,
                   Rope::Layout layout, double sign) {
  const std::int64_t rotary_dim = 2 * cosine.size(-1), start = x.size(-1) - rotary_dim;
  at::Tensor result = at::empty(x.sizes(), x.options());
  if (start > 0) result.narrow(-1, 0, start).copy_(x.narrow(-1, 0, start));
  const Pairs from = PairsOf(x, rotary_dim, layout), to = PairsOf(result, rotary_dim, layout);
  to.first.copy_(from.first * cosine).addcmul_(from.second, sine, -sign);
  to.second.copy_(from.second * cosine).addcmul_(from.first, sine, sign);
  return result;
}

struct RotateFunction : torch::autograd::Function<RotateFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cosine,
                            const at::Tensor& sine, bool interleaved) {
    context->save_for_backward({cosine, sine});
    context->saved_data["interleaved"] = interleaved;
    return Rotated(x, cosine, sine, LayoutOf(interleaved), 1);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const bool interleaved = context->saved_data["interleaved"].toBool();
    return {Rotated(gradients[0], saved[0], saved[1], LayoutOf(interleaved), -1), at::Tensor(),
            at::Tensor(), at::Tensor()};
  }

  static Rope::Layout LayoutOf(bool interleaved) {
    return interleaved ? Rope::Layout::kInterleaved : Rope::Layout::kHalves;
  }
};

// Positions times inverse frequencies, fp64 [tokens, rotary_dim / 2].
at::Tensor Angles(const Rope& rope, std::int64_t rotary_dim, std::int64_t tokens,
                  std::int64_t length) {
  std::vector<double> inverse = rope.InverseFrequencies(rotary_dim, length);
  const at::Tensor frequencies = at::from_blob(inverse.data(), {rotary_dim / 2}, at::kDouble);
  return at::outer(at::arange(tokens, at::kDouble), frequencies);
}

}  // namespace

RotaryTable MakeRotaryTable(const Rope& rope, std::int64_t rotary_dim, std::int64_t tokens,
                            std::span<const std::int64_t> lengths) {
  CLOISTER_CHECK(!lengths.empty());
  std::vector<at::Tensor> rows;
  const bool alike =
      !rope.DependsOnLength() ||
      std::adjacent_find(lengths.begin(), lengths.end(), std::not_equal_to<>()) == lengths.end();
  for (const std::int64_t length : lengths.first(alike ? 1 : lengths.size())) {
    rows.push_back(Angles(rope, rotary_dim, tokens, length));
  }
  const at::Tensor angles = at::stack(rows).unsqueeze(2);
  const double scale = rope.RotationScale();
  return {(angles.cos() * scale).to(at::kFloat), (angles.sin() * scale).to(at::kFloat),
          rope.layout};
}

at::Tensor Rotate(const at::Tensor& x, const RotaryTable& table) {
  return RotateFunction::apply(x, table.cosine, table.sine,
                               table.layout == Rope::Layout::kInterleaved);
}

}  // namespace cloister::trainer
