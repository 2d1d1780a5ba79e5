#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "model/architecture.h"
#include "model/model_files.h"
#include "model/tensor.h"

namespace cloister::inference {

// y = W x + b.
struct LinearWeights {
  model::TensorView matrix;  // [out, in]
  std::vector<float> bias;   // [out]; empty: none
};

struct GroupedAttentionWeights {
  LinearWeights query;            // [heads * head_dim, hidden]
  LinearWeights key;              // [kv_heads * head_dim, hidden]
  LinearWeights value;            // [kv_heads * head_dim, hidden]
  std::vector<float> query_norm;  // [head_dim]; empty: none
  std::vector<float> key_norm;    // [head_dim]; empty: none
};

struct LatentAttentionWeights {
  // Without a query latent `query_up` reads the hidden state, and the other two are empty.
  LinearWeights query_down;       // [query_rank, hidden]
  std::vector<float> query_norm;  // [query_rank]
  LinearWeights query_up;         // [heads * head_dim, query_rank or hidden]
  LinearWeights kv_down;          // [kv_rank + rope_dim, hidden]
  std::vector<float> kv_norm;     // [kv_rank]
  // The up-projection of each head: its keys' [kv_rank, nope_dim], which absorbs queries, and its
  // values' [value_dim, kv_rank].
  std::vector<model::TensorView> key_up;
  std::vector<model::TensorView> value_up;
};

struct MlpWeights {
  LinearWeights gate;  // [intermediate, hidden]
  LinearWeights up;    // [intermediate, hidden]
  LinearWeights down;  // [hidden, intermediate]
};

struct ExpertsWeights {
  model::TensorView router;      // [experts, hidden], fp32
  std::vector<float> bias;       // [experts], added for choosing; empty: none
  std::vector<MlpWeights> each;  // experts
  std::optional<MlpWeights> shared;
};

struct LayerWeights {
  std::vector<float> attention_norm;               // [hidden]
  std::optional<GroupedAttentionWeights> grouped;  // either this
  std::optional<LatentAttentionWeights> latent;    // or this
  LinearWeights attention_output;                  // [hidden, heads * head_dim or value_dim]
  std::vector<float> mlp_norm;                     // [hidden]
  std::optional<MlpWeights> mlp;                   // either this
  std::optional<ExpertsWeights> experts;           // or this
};

// A network's weights, used where they lie in the mapped file. Copied are vectors, routers (to
// fp32), what the file keeps in another order (model_files.h), and what as_f32 asks for.
struct Weights {
  model::TensorView embedding;  // [vocab, hidden]
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;  // [hidden]
  model::TensorView head;         // [vocab, hidden]; the embedding where they are tied

  std::shared_ptr<const model::ModelFiles> files;  // keeps the views alive
};

// Every tensor is checked against `architecture`. With `as_f32` each weight is dequantized to a
// copy in fp32, so that nothing is computed with quantized activations.
base::Result<Weights> LoadWeights(std::shared_ptr<const model::ModelFiles> files,
                                  const model::Architecture& architecture, bool as_f32);

}  // namespace cloister::inference
