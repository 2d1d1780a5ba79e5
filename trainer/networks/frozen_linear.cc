#include "trainer/networks/frozen_linear.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <optional>
#include <vector>

#include "dp/clipping/once_differentiable.h"
#include "dp/clipping/onednn_linear.h"
#include "dp/clipping/row_product.h"

namespace cloister::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::optional<at::Tensor> IfDefined(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

// oneDNN refuses bfloat16 on processors without AVX-512 or its like.
bool OneDnnHasBf16() {
  static const bool has = [] {
    if (!at::hasMKLDNN()) return false;
    try {
      const at::NoGradGuard no_grad;
      const at::Tensor one = at::ones({16, 16}, at::kBFloat16);
      dp::clipping::OneDnnLinear(one, one);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }();
  return has;
}

// A matrix as the integer that travels through autograd's context, which stores no plain pointers.
std::int64_t HandleOf(const BlockMatrix& blocks) { return reinterpret_cast<std::int64_t>(&blocks); }
const BlockMatrix* BlocksOf(std::int64_t handle) {
  return reinterpret_cast<const BlockMatrix*>(handle);
}

struct FrozenLinearFunction : torch::autograd::Function<FrozenLinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    context->save_for_backward({weight});
    return Product(x, weight, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const at::Tensor weight = context->get_saved_variables()[0];
    return {Product(gradients[0], weight.t()), at::Tensor(), at::Tensor()};
  }
};

// A tile of a weight in blocks stays in a core's own cache while it is multiplied.
constexpr std::int64_t kTileNumbers = std::int64_t{1} << 18;

// Calls body(first, tile) with the rows of `blocks` in tiles [some, columns] of the type, and on
// the device, of `options`; how they are cut depends on the matrix alone.
template <typename Body>
void ForTiles(const BlockMatrix& blocks, const at::TensorOptions& options, const Body& body) {
  constexpr std::int64_t kRows = 64;  // a whole number of any kernel's own tiles
  const std::int64_t size = std::max(kRows, kTileNumbers / blocks.columns() / kRows * kRows);
  for (std::int64_t first = 0; first < blocks.rows(); first += size) {
    const std::int64_t count = std::min(size, blocks.rows() - first);
    body(
        first,
        blocks.Rows(first, count, c10::typeMetaToScalarType(options.dtype())).to(options.device()));
  }
}

at::Tensor BlockProduct(const at::Tensor& x, const BlockMatrix& blocks, const at::Tensor& bias) {
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() = blocks.rows();
  at::Tensor y;
  ForTiles(blocks, x.options(), [&](std::int64_t first, const at::Tensor& tile) {
    const std::int64_t rows = tile.size(0);
    const at::Tensor part =
        Product(x, tile, bias.defined() ? bias.narrow(0, first, rows) : at::Tensor());
    if (rows == blocks.rows()) {
      y = part;
      return;
    }
    if (!y.defined()) y = at::empty(shape, x.options());
    y.narrow(-1, first, rows).copy_(part);
  });
  return y;
}

// The tiles' parts are added up in fp32.
at::Tensor BlockInputGradient(const at::Tensor& g, const BlockMatrix& blocks) {
  at::Tensor sum;
  ForTiles(blocks, g.options(), [&](std::int64_t first, const at::Tensor& tile) {
    const at::Tensor part = Product(g.narrow(-1, first, tile.size(0)), tile.t());
    sum = sum.defined() ? sum.to(at::kFloat).add_(part) : part;
  });
  return sum.to(g.scalar_type());
}

struct FrozenBlocksFunction : torch::autograd::Function<FrozenBlocksFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& bias, std::int64_t blocks) {
    context->saved_data["blocks"] = blocks;
    return BlockProduct(x, *BlocksOf(blocks), bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const BlockMatrix* const blocks = BlocksOf(context->saved_data["blocks"].toInt());
    return {BlockInputGradient(gradients[0], *blocks), at::Tensor(), at::Tensor()};
  }
};

// Products read `factor`, the weight itself or its rounded copy; the gradient is of the weight.
struct TrainedLinearFunction : torch::autograd::Function<TrainedLinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& /*weight*/, const std::optional<at::Tensor>& bias,
                            const at::Tensor& factor) {
    context->save_for_backward({x, factor.detach()});
    context->saved_data["bias"] = bias.has_value();
    return Product(x, factor, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& g = gradients[0];
    const at::Tensor x_rows = saved[0].reshape({-1, saved[0].size(-1)});
    const at::Tensor g_rows = g.reshape({-1, g.size(-1)});
    at::Tensor gradient_x, gradient_weight, gradient_bias;
    if (context->needs_input_grad(0)) gradient_x = Product(g, saved[1].t());
    if (context->needs_input_grad(1)) {
      gradient_weight = Product(g_rows.t(), x_rows.t()).to(at::kFloat);
    }
    if (context->saved_data["bias"].toBool()) {
      gradient_bias = g_rows.sum(0, /*keepdim=*/false, at::kFloat);
    }
    return {gradient_x, gradient_weight, gradient_bias, at::Tensor()};
  }
};

}  // namespace

at::Tensor Product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  const at::Tensor addend = bias.defined() ? bias.to(x.scalar_type()) : bias;
  const bool bf16 = x.scalar_type() == at::kBFloat16;
  if (dp::clipping::TakesRowProduct(x, w)) return dp::clipping::RowProduct(x, w, addend);
  if (x.is_cpu() && (bf16 ? OneDnnHasBf16() : at::hasMKLDNN()))
    return dp::clipping::OneDnnLinear(x, w, addend);
  return at::linear(x, w, IfDefined(addend));
}

at::Tensor Product(const at::Tensor& x, const LinearWeights& linear) {
  if (linear.blocks) return BlockProduct(x, *linear.blocks, linear.bias);
  return Product(x, linear.factor(), linear.bias);
}

at::Tensor InputGradient(const at::Tensor& g, const LinearWeights& linear) {
  if (linear.blocks) return BlockInputGradient(g, *linear.blocks);
  return Product(g, linear.factor().t());
}

at::Tensor Linear(const at::Tensor& x, const LinearWeights& linear) {
  const std::optional<at::Tensor> bias = IfDefined(linear.bias);
  if (linear.blocks) return FrozenBlocksFunction::apply(x, bias, HandleOf(*linear.blocks));
  if (!linear.weight.requires_grad()) {
    return FrozenLinearFunction::apply(x, linear.factor(), bias);
  }
  return TrainedLinearFunction::apply(x, linear.weight, bias, linear.factor().detach());
}

}  // namespace cloister::trainer
