#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "model/architecture.h"
#include "model/model_files.h"
#include "model/tensor.h"

namespace cloister::inference {

struct LayerWeights {
  std::vector<float> attention_norm;   // [hidden]
  model::TensorView query;             // [heads * head_dim, hidden]
  model::TensorView key;               // [kv_heads * head_dim, hidden]
  model::TensorView value;             // [kv_heads * head_dim, hidden]
  model::TensorView attention_output;  // [hidden, heads * head_dim]
  std::vector<float> mlp_norm;         // [hidden]
  model::TensorView gate;              // [intermediate, hidden]
  model::TensorView up;                // [intermediate, hidden]
  model::TensorView down;              // [hidden, intermediate]
};

// A network's weights, used where they lie in the mapped file; only the norms are copied.
struct Weights {
  model::TensorView embedding;  // [vocab, hidden]
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;  // [hidden]
  model::TensorView head;         // [vocab, hidden]; the embedding where they are tied

  std::shared_ptr<const model::ModelFiles> files;              // keeps the views alive
  std::vector<std::shared_ptr<const std::vector<float>>> f32;  // copies, where asked for
};

// Every tensor is checked against `architecture`. With `as_f32` each weight is dequantized to a
// copy in fp32, so that nothing is computed with quantized activations.
base::Result<Weights> LoadWeights(std::shared_ptr<const model::ModelFiles> files,
                                  const model::Architecture& architecture, bool as_f32);

}  // namespace cloister::inference
