#include "trainer/networks/rotary.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "base/check.h"
#include "dp/clipping/once_differentiable.h"
#include "trainer/networks/plain_operators.h"
#include "trainer/networks/row_tensors.h"

namespace cloister::trainer {
namespace {

using model::Rope;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The rotation, or back by its transpose: the inverse, but for the tables' scale.
at::Tensor Rotated(const at::Tensor& any, const at::Tensor& cosine, const at::Tensor& sine,
                   bool neighbours, bool back) {
  if (!any.is_cpu()) return plain::Rotated(any, cosine, sine, neighbours, back);
  const at::Tensor x = any.stride(-1) == 1 ? any : any.contiguous();
  const std::int64_t tokens = x.size(1), heads = x.size(2), size = x.size(3);
  const std::int64_t pairs = cosine.size(-1);
  at::Tensor result = at::empty(x.sizes(), x.options());
  WithRowType(x.scalar_type(), [&]<typename T>(T) {
    ForRows(x.size(0) * tokens, heads * size, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t row = first; row < first + count; ++row) {
        const std::int64_t sequence = row / tokens, token = row % tokens;
        const std::int64_t angles = ((cosine.size(0) > 1 ? sequence * tokens : 0) + token) * pairs;
        Kernels<T>().rotate(Read<T>(x) + sequence * x.stride(0) + token * x.stride(1), x.stride(2),
                            Read<float>(cosine) + angles, Read<float>(sine) + angles, heads, size,
                            pairs, neighbours, back, Write<T>(result) + row * heads * size);
      }
    });
  });
  return result;
}

struct RotateFunction : torch::autograd::Function<RotateFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cosine,
                            const at::Tensor& sine, bool interleaved) {
    context->save_for_backward({cosine, sine});
    context->saved_data["interleaved"] = interleaved;
    return Rotated(x, cosine, sine, interleaved, /*back=*/false);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const variable_list saved = context->get_saved_variables();
    const bool interleaved = context->saved_data["interleaved"].toBool();
    return {Rotated(gradients[0], saved[0], saved[1], interleaved, /*back=*/true), at::Tensor(),
            at::Tensor(), at::Tensor()};
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
  return {(angles.cos() * scale).to(at::kFloat).contiguous(),
          (angles.sin() * scale).to(at::kFloat).contiguous(), rope.layout};
}

at::Tensor Rotate(const at::Tensor& x, const RotaryTable& table) {
  return RotateFunction::apply(x, table.cosine, table.sine,
                               table.layout == Rope::Layout::kInterleaved);
}

}  // namespace cloister::trainer
