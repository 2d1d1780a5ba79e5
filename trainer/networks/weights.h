#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/paged_memory.h"
#include "base/result.h"
#include "model/architecture.h"
#include "model/model_files.h"
#include "trainer/networks/block_matrix.h"
#include "trainer/networks/compute_options.h"

namespace cloister::trainer {

// Weights in fp32; matrices that are not trained may be bfloat16, or in blocks. Projections that
// read the same input stand in one matrix, one below the other.
struct LinearWeights {
  at::Tensor weight;   // [out, in]; undefined where `blocks` are instead
  at::Tensor bias;     // [out]; undefined: none
  at::Tensor rounded;  // bfloat16 copy of a trained weight for products; undefined: weight itself
  std::shared_ptr<const BlockMatrix> blocks;  // a frozen weight

  std::int64_t rows() const { return blocks ? blocks->rows() : weight.size(0); }
  const at::Tensor& factor() const { return rounded.defined() ? rounded : weight; }
};

struct GroupedAttentionWeights {
  LinearWeights qkv;          // [query_size + 2 * kv_size, hidden]: rows of q, then k, then v
  at::Tensor q_norm, k_norm;  // [head_dim]; undefined: none
};

struct LatentAttentionWeights {
  LinearWeights query;      // [query_size, hidden], or [query_rank, hidden] with a query latent
  at::Tensor query_norm;    // [query_rank]; this and the next undefined without a query latent
  LinearWeights query_up;   // [query_size, query_rank]
  LinearWeights kv_latent;  // [kv_rank + rope_dim, hidden]: rows of the latent, then the shared key
  at::Tensor kv_norm;       // [kv_rank]
  LinearWeights kv_up;  // [heads * (nope_dim + value_dim), kv_rank]: a head's key rows, then values
};

struct MlpWeights {
  LinearWeights gate_up;  // [2 * intermediate, hidden]: rows of gate, then up
  LinearWeights down;     // [hidden, intermediate]
};

struct ExpertsWeights {
  at::Tensor router;           // [count, hidden]
  at::Tensor correction_bias;  // [count], no parameter; undefined: none
  std::vector<MlpWeights> experts;
  std::optional<MlpWeights> shared;
};

struct LayerWeights {
  at::Tensor input_norm;                           // [hidden]
  std::optional<GroupedAttentionWeights> grouped;  // one of these two
  std::optional<LatentAttentionWeights> latent;
  LinearWeights output;             // [hidden, attended_size]
  at::Tensor post_norm;             // [hidden]
  std::optional<MlpWeights> dense;  // one of these two
  std::optional<ExpertsWeights> mixture;

  std::vector<at::Tensor> Parameters() const;
};

struct NetworkWeights {
  at::Tensor embedding;     // [vocab, hidden]
  at::Tensor final_norm;    // [hidden]
  at::Tensor head;          // [vocab, hidden]; the embedding's own tensor when tied
  at::Tensor rounded_head;  // as LinearWeights::rounded
  // In place of the embedding and the head; one matrix when tied.
  std::shared_ptr<const BlockMatrix> embedding_blocks, head_blocks;
  std::vector<LayerWeights> layers;

  // Every distinct parameter once: a tied matrix is one. Matrices in blocks are none.
  std::vector<at::Tensor> Parameters() const;

  // Rounds every fp32 matrix that enters products to its bfloat16 copy: anew after each change of
  // the weights.
  void Round();
  // The same of one layer, below 0 of the head; with `here` false its copies are given back.
  void RoundLayer(std::int64_t layer, bool here);

  // All that stands in numbers becomes a copy on `device`; matrices in blocks stay where they are.
  // Views of `flat`, where it is given, become the same views of a copy of it, which is returned.
  at::Tensor MoveTo(const at::Device& device, const at::Tensor& flat = {});
};

// Where a tensor of the model's files stands in a flat vector of all parameters.
struct WeightPlace {
  std::string name;         // Hugging Face's
  std::int64_t layer = -1;  // below 0: embedding, final norm, head
  std::int64_t offset = 0;
  std::int64_t elements = 0;
};

// Weights whose parameters are views of one vector, in the order of NetworkWeights::Parameters().
struct FlatWeights {
  NetworkWeights network;
  at::Tensor flat;                            // fp32 [parameters]
  std::vector<WeightPlace> places;            // in order and without gaps
  std::shared_ptr<base::PagedMemory> memory;  // of `flat`, where a part of it was to be kept
};
// Parameters from `begin` to `end` of the flat vector.
struct KeptWeights {
  std::size_t begin = 0, end = 0;
};

// Reads and dequantizes what `architecture` needs to fp32, or with kBf16 matrices to bfloat16, but
// for the experts' routers. Of a flat vector only `kept` stays, where it is given: the rest is
// zeros and no memory; while it loads, a layer more, or what is outside of them. With a `base` of
// blocks those matrices stay in blocks, or are brought into them, whose rows are whole ones.
// Errors: as model::CheckTensors and BlockMatrix::Quantize.
base::Result<FlatWeights> LoadFlatWeights(const model::ModelFiles& files,
                                          const model::Architecture& architecture,
                                          const std::optional<KeptWeights>& kept = {});
base::Result<NetworkWeights> LoadWeights(const model::ModelFiles& files,
                                         const model::Architecture& architecture,
                                         Precision matrices = Precision::kFp32,
                                         BaseWeights base = BaseWeights::kDense);

// Elements of NetworkWeights::Parameters().
std::int64_t ParameterCount(const model::Architecture& architecture);

}  // namespace cloister::trainer
