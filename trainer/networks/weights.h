#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "base/result.h"
#include "model/architecture.h"
#include "model/model_files.h"

namespace cloister::trainer {

// One decoder layer's weights, fp32. Projections that read the same input stand in one matrix.
struct LayerWeights {
  at::Tensor input_norm;  // [hidden]
  at::Tensor qkv;         // [query_size + 2 * kv_size, hidden]: rows of q, then k, then v
  at::Tensor output;      // [hidden, query_size]
  at::Tensor post_norm;   // [hidden]
  at::Tensor gate_up;     // [2 * intermediate, hidden]: rows of gate, then up
  at::Tensor down;        // [hidden, intermediate]
};

struct NetworkWeights {
  at::Tensor embedding;   // [vocab, hidden]
  at::Tensor final_norm;  // [hidden]
  at::Tensor head;        // [vocab, hidden]; the embedding's own tensor when tied
  std::vector<LayerWeights> layers;

  // Every distinct tensor once: a tied matrix is one parameter.
  std::vector<at::Tensor> Parameters() const;
};

// Reads and dequantizes to fp32 what `architecture` needs. Errors: as model::CheckTensors.
base::Result<NetworkWeights> LoadWeights(const model::ModelFiles& files,
                                         const model::Architecture& architecture);

}  // namespace cloister::trainer
