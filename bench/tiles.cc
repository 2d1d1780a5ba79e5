// Products with weights and attention by tiles beside LibTorch's own, at the shapes of
// SmolLM2-135M's layers. A table of GFLOP/s, medians.
//
//   tiles [rows=127] [threads=1] [repeats=9]
//
// Forward is x W^T and backward g W over the matrices of 30 layers, which no cache holds. Attention
// is nine heads of 64 that three keys serve, forward and backward, of one sequence of `rows`
// tokens; its operations are counted as if every token saw every other by half.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "dp/clipping/onednn_linear.h"
#include "dp/clipping/row_product.h"
#include "trainer/networks/tiled_attention.h"

namespace {

using Clock = std::chrono::steady_clock;
using Multiply = std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>;

double MedianSeconds(long repeats, const std::function<void()>& body) {
  body();
  std::vector<double> seconds;
  for (long i = 0; i < repeats; ++i) {
    const auto start = Clock::now();
    body();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[static_cast<std::size_t>(repeats / 2)];
}

struct Layers {
  std::vector<at::Tensor> weights, inputs, gradients;
  double operations = 0;  // of one product each
};

Layers MakeLayers(long rows) {
  constexpr long kShapes[][2] = {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}};
  Layers layers;
  for (int layer = 0; layer < 30; ++layer) {
    for (const auto& [out, in] : kShapes) {
      layers.weights.push_back(at::randn({out, in}));
      layers.inputs.push_back(at::randn({rows, in}));
      layers.gradients.push_back(at::randn({rows, out}));
      layers.operations += 2e-9 * static_cast<double>(rows * out * in);
    }
  }
  return layers;
}

void PrintProducts(const Layers& layers, const char* name, long repeats, const Multiply& multiply) {
  const double forward = MedianSeconds(repeats, [&] {
    for (std::size_t i = 0; i < layers.weights.size(); ++i) {
      multiply(layers.inputs[i], layers.weights[i]);
    }
  });
  const double backward = MedianSeconds(repeats, [&] {
    for (std::size_t i = 0; i < layers.weights.size(); ++i) {
      multiply(layers.gradients[i], layers.weights[i].t());
    }
  });
  std::printf("| %s | %.0f | %.0f |\n", name, layers.operations / forward,
              layers.operations / backward);
}

void PrintAttention(const char* name, long rows, long repeats,
                    const std::function<at::Tensor(const at::Tensor&, const at::Tensor&,
                                                   const at::Tensor&)>& attend) {
  const auto random = [&](long heads) {
    return at::randn({1, rows, heads, 64}).transpose(1, 2).requires_grad_();
  };
  const at::Tensor q = random(9), k = random(3), v = random(3), g = at::randn({1, 9, rows, 64});
  constexpr int kTimes = 30;
  const double forward = MedianSeconds(repeats, [&] {
    const at::NoGradGuard no_grad;
    for (int i = 0; i < kTimes; ++i) attend(q, k, v);
  });
  const double both = MedianSeconds(repeats, [&] {
    for (int i = 0; i < kTimes; ++i) torch::autograd::grad({attend(q, k, v)}, {q, k, v}, {g});
  });
  const double product = 1e-9 * kTimes * 9 * static_cast<double>(rows * rows) * 64;
  std::printf("| %s | %.0f | %.0f |\n", name, 2 * product / forward, 7 * product / both);
}

}  // namespace

int main(int argc, char** argv) {
  const long rows = argc > 1 ? std::atol(argv[1]) : 127,
             threads = argc > 2 ? std::atol(argv[2]) : 1;
  const long repeats = argc > 3 ? std::atol(argv[3]) : 9;
  if (rows < 1 || threads < 1 || repeats < 1) {
    std::fprintf(stderr, "usage: tiles [rows] [threads] [repeats]\n");
    return 2;
  }
  at::set_num_threads(static_cast<int>(threads));
  at::manual_seed(1);
  const Layers layers = MakeLayers(rows);
  std::printf("%ld rows, %ld threads\n\n| products | forward | backward |\n|---|---:|---:|\n", rows,
              threads);
  using cloister::dp::clipping::OneDnnLinear;
  using cloister::dp::clipping::RowProduct;
  PrintProducts(layers, "tiles", repeats,
                [](const auto& x, const auto& w) { return RowProduct(x, w); });
  PrintProducts(layers, "oneDNN", repeats,
                [](const auto& x, const auto& w) { return OneDnnLinear(x, w); });
  PrintProducts(layers, "LibTorch", repeats,
                [](const auto& x, const auto& w) { return at::mm(x, w.t()); });
  std::printf("\n| attention | forward | both |\n|---|---:|---:|\n");
  PrintAttention("tiles", rows, repeats, [](const auto& q, const auto& k, const auto& v) {
    return cloister::trainer::TiledAttention(q, k, v, 0.125);
  });
  PrintAttention("LibTorch", rows, repeats, [](const auto& q, const auto& k, const auto& v) {
    return at::scaled_dot_product_attention(q, k.repeat_interleave(3, 1), v.repeat_interleave(3, 1),
                                            {}, 0.0, /*is_causal=*/true, 0.125);
  });
  return 0;
}
