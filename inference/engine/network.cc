#include "inference/engine/network.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace cloister::inference {
namespace cpu = kernels::cpu;
namespace {

bool AnyQuantized(std::initializer_list<const model::TensorView*> weights) {
  return std::any_of(weights.begin(), weights.end(), [](const model::TensorView* weight) {
    return cpu::UsesQuantizedActivations(weight->type);
  });
}

// Tokens a thread takes at once from loops over single tokens.
constexpr std::int64_t kTokenGrain = 8;

std::size_t Size(std::int64_t a, std::int64_t b) { return static_cast<std::size_t>(a * b); }

}  // namespace

Network::Network(const model::Architecture& architecture, Weights weights,
                 const cpu::Kernels& kernels, int threads, std::int64_t context,
                 std::int64_t max_batch)
    : architecture_(architecture),
      weights_(std::move(weights)),
      kernels_(kernels),
      pool_(threads),
      frequencies_(architecture.rope.InverseFrequencies(architecture.head_dim)),
      hidden_(Size(max_batch, architecture.hidden_size)),
      query_(Size(max_batch, architecture.query_size())),
      key_(Size(max_batch, architecture.kv_size())),
      value_(Size(max_batch, architecture.kv_size())),
      gate_(Size(max_batch, architecture.intermediate_size)),
      up_(Size(max_batch, architecture.intermediate_size)),
      projected_(Size(max_batch, architecture.hidden_size)),
      cosines_(Size(max_batch, architecture.head_dim / 2)),
      sines_(Size(max_batch, architecture.head_dim / 2)),
      score_stride_(context) {
  for (int i = 0; i < pool_.threads(); ++i) {
    scores_.push_back(std::make_unique_for_overwrite<float[]>(Size(kTokenGrain, context)));
  }
}

void Network::Run(std::span<const model::TokenId> ids, KvCache& cache) {
  tokens_ = static_cast<std::int64_t>(ids.size());
  Embed(ids);
  PrepareRotation(cache.size(), tokens_);
  for (std::size_t i = 0; i < weights_.layers.size(); ++i) {
    const LayerWeights& layer = weights_.layers[i];
    Normalize(layer.attention_norm, 0, tokens_,
              AnyQuantized({&layer.query, &layer.key, &layer.value}));
    Attention(layer, static_cast<std::int64_t>(i), cache);
    Normalize(layer.mlp_norm, 0, tokens_, AnyQuantized({&layer.gate, &layer.up}));
    Mlp(layer);
  }
  cache.Advance(tokens_);
}

void Network::Logits(std::int64_t first, std::int64_t count, float* logits) {
  Normalize(weights_.final_norm, first, count, AnyQuantized({&weights_.head}));
  const cpu::Product head{&weights_.head, logits, architecture_.vocab_size};
  cpu::Linear(kernels_, pool_, normed_, {&head, 1});
}

void Network::Embed(std::span<const model::TokenId> ids) {
  const model::TensorView& table = weights_.embedding;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    model::Dequantize(table.type, table.data.data() + ids[t] * table.row_bytes(),
                      hidden_.data() + t * static_cast<std::size_t>(architecture_.hidden_size),
                      architecture_.hidden_size);
  }
}

void Network::PrepareRotation(std::int64_t position, std::int64_t count) {
  const std::size_t half = frequencies_.size();
  for (std::int64_t t = 0; t < count; ++t) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position + t) * frequencies_[i];
      cosines_[static_cast<std::size_t>(t) * half + i] = static_cast<float>(std::cos(angle));
      sines_[static_cast<std::size_t>(t) * half + i] = static_cast<float>(std::sin(angle));
    }
  }
}

// Rows first … first + count - 1 of the hidden states, normed, to rows 0 … count - 1 of `normed_`.
void Network::Normalize(std::span<const float> weight, std::int64_t first, std::int64_t count,
                        bool quantize) {
  const std::int64_t size = architecture_.hidden_size;
  normed_.Resize(count, size);
  pool_.Run(count, kTokenGrain, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      kernels_.rms_norm(hidden_.data() + (first + t) * size, weight.data(),
                        static_cast<float>(architecture_.rms_norm_eps), size, normed_.row(t));
      if (quantize) normed_.Quantize(kernels_, t);
    }
  });
}

void Network::Attention(const LayerWeights& layer, std::int64_t index, KvCache& cache) {
  const std::array<cpu::Product, 3> products = {{
      {&layer.query, query_.data(), architecture_.query_size()},
      {&layer.key, key_.data(), architecture_.kv_size()},
      {&layer.value, value_.data(), architecture_.kv_size()},
  }};
  cpu::Linear(kernels_, pool_, normed_, products);
  StoreKeysAndValues(index, cache);
  attended_.Resize(tokens_, architecture_.query_size());
  AttendHeads(index, cache);
  if (AnyQuantized({&layer.attention_output})) {
    for (std::int64_t t = 0; t < tokens_; ++t) attended_.Quantize(kernels_, t);
  }
  const cpu::Product output{&layer.attention_output, projected_.data(), architecture_.hidden_size};
  cpu::Linear(kernels_, pool_, attended_, {&output, 1});
  AddToHidden();
}

// Rotates queries (scaled by 1 / sqrt(head_dim) here, once) and keys, and fills the cache.
void Network::StoreKeysAndValues(std::int64_t layer, KvCache& cache) {
  const std::int64_t head_dim = architecture_.head_dim;
  const std::int64_t half = head_dim / 2;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
  pool_.Run(tokens_, kTokenGrain, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const float* cosines = cosines_.data() + t * half;
      const float* sines = sines_.data() + t * half;
      float* query = query_.data() + t * architecture_.query_size();
      for (std::int64_t h = 0; h < architecture_.num_heads; ++h) {
        kernels_.rope(query + h * head_dim, cosines, sines, half);
      }
      for (std::int64_t i = 0; i < architecture_.query_size(); ++i) query[i] *= scale;
      for (std::int64_t h = 0; h < architecture_.num_kv_heads; ++h) {
        const std::int64_t from = t * architecture_.kv_size() + h * head_dim;
        const std::int64_t to = (cache.size() + t) * head_dim;
        kernels_.rope(key_.data() + from, cosines, sines, half);
        std::copy_n(key_.data() + from, head_dim, cache.Keys(layer, h) + to);
        std::copy_n(value_.data() + from, head_dim, cache.Values(layer, h) + to);
      }
    }
  });
}

// Softmax(Q K^T) V. One piece of work is a query head and a few tokens: each reads the positions up
// to its own; the scores behind them are set to zero weight.
void Network::AttendHeads(std::int64_t layer, KvCache& cache) {
  const std::int64_t head_dim = architecture_.head_dim;
  const std::int64_t group = architecture_.num_heads / architecture_.num_kv_heads;
  const std::int64_t blocks = (tokens_ + kTokenGrain - 1) / kTokenGrain;
  const auto attend = [&](int thread, std::int64_t head, std::int64_t first) {
    const std::int64_t count = std::min(kTokenGrain, tokens_ - first);
    const std::int64_t positions = cache.size() + first + count;
    float* scores = scores_[static_cast<std::size_t>(thread)].get();
    cpu::MatmulArguments products;
    products.weights = reinterpret_cast<const std::byte*>(cache.Keys(layer, head / group));
    products.row_bytes = head_dim * static_cast<std::int64_t>(sizeof(float));
    products.rows = positions;
    products.columns = head_dim;
    products.tokens = count;
    products.input = query_.data() + first * architecture_.query_size() + head * head_dim;
    products.input_stride = architecture_.query_size();
    products.output = scores;
    products.output_stride = score_stride_;
    kernels_.matmul_for(model::DataType::kF32)(products);
    for (std::int64_t t = 0; t < count; ++t) {
      float* row = scores + t * score_stride_;
      const std::int64_t own = cache.size() + first + t + 1;
      kernels_.softmax(row, own);
      std::fill(row + own, row + positions, 0.0f);
    }
    cpu::Kernels::WeightedSumArguments sum;
    sum.weights = scores;
    sum.weight_stride = score_stride_;
    sum.queries = count;
    sum.values = cache.Values(layer, head / group);
    sum.positions = positions;
    sum.dimension = head_dim;
    sum.output = attended_.row(first) + head * head_dim;
    sum.output_stride = architecture_.query_size();
    kernels_.weighted_sum(sum);
  };
  // Little work is not worth waking the other threads.
  const bool little = tokens_ == 1 && cache.size() * architecture_.query_size() < 16384;
  const std::int64_t items = blocks * architecture_.num_heads;
  pool_.Run(items, little ? items : 1, [&](int thread, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      attend(thread, i % architecture_.num_heads, i / architecture_.num_heads * kTokenGrain);
  });
}

void Network::Mlp(const LayerWeights& layer) {
  const std::int64_t size = architecture_.intermediate_size;
  const std::array<cpu::Product, 2> products = {{
      {&layer.gate, gate_.data(), size},
      {&layer.up, up_.data(), size},
  }};
  cpu::Linear(kernels_, pool_, normed_, products);
  gated_.Resize(tokens_, size);
  const bool quantize = AnyQuantized({&layer.down});
  pool_.Run(tokens_, kTokenGrain, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      kernels_.silu_multiply(gate_.data() + t * size, up_.data() + t * size, size, gated_.row(t));
      if (quantize) gated_.Quantize(kernels_, t);
    }
  });
  const cpu::Product output{&layer.down, projected_.data(), architecture_.hidden_size};
  cpu::Linear(kernels_, pool_, gated_, {&output, 1});
  AddToHidden();
}

void Network::AddToHidden() {
  kernels_.axpy(1.0f, projected_.data(), hidden_.data(), tokens_ * architecture_.hidden_size);
}

}  // namespace cloister::inference
