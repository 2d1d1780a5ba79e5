#include "trainer/networks/weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "model/finite.h"
#include "model/tensor.h"

namespace cloister::trainer {
namespace {

using Names = std::vector<std::string>;

constexpr char kCorrectionBias[] = "gate.e_score_correction_bias";  // no parameter

// Where parameters are read to: a flat vector, taken piece by piece, or each on its own.
class FlatMemory {
 public:
  FlatMemory() = default;
  FlatMemory(std::int64_t parameters, const std::optional<KeptWeights>& kept) : kept_(kept) {
    if (!kept_) {
      flat_ = at::empty({parameters}, at::TensorOptions(at::kFloat));
      return;
    }
    paged_ =
        std::make_shared<base::PagedMemory>(static_cast<std::size_t>(parameters) * sizeof(float));
    flat_ = at::from_blob(
        paged_->bytes().data(), {parameters}, [paged = paged_](void*) {},
        at::TensorOptions(at::kFloat));
  }

  // The next piece, for tensors one below the other.
  at::Tensor Take(std::int64_t layer, const Names& names,
                  const std::vector<model::TensorView>& views) {
    const std::int64_t start = taken_;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const std::int64_t elements = views[i].elements();
      places_.push_back({names[i], layer, taken_, elements});
      taken_ += elements;
    }
    if (!flat_.defined()) return at::empty({taken_ - start}, at::TensorOptions(at::kFloat));
    return flat_.narrow(0, start, taken_ - start);
  }

  // Of what was taken, what is not to be kept.
  void Release() {
    if (!paged_) return;
    const auto clear = [this](std::size_t begin, std::size_t end) {
      if (begin < end) paged_->Clear(begin * sizeof(float), (end - begin) * sizeof(float));
    };
    const auto end = static_cast<std::size_t>(taken_);
    clear(released_, std::min(end, kept_->begin));
    clear(std::max(released_, kept_->end), end);
    released_ = end;
  }

  FlatWeights Finish(NetworkWeights network) && {
    CLOISTER_CHECK(taken_ == flat_.numel());
    return {std::move(network), std::move(flat_), std::move(places_), std::move(paged_)};
  }

 private:
  at::Tensor flat_;
  std::optional<KeptWeights> kept_;
  std::shared_ptr<base::PagedMemory> paged_;  // where some is kept
  std::size_t released_ = 0;                  // up to here
  std::int64_t taken_ = 0;
  std::vector<WeightPlace> places_;
};

// How matrices are to be kept.
struct Storage {
  at::ScalarType type = at::kFloat;  // of those that are dense
  BaseWeights base = BaseWeights::kDense;
};

// Reads the tensors of one part of the network, whose names begin with `prefix`.
class PartReader {
 public:
  PartReader(const model::ModelFiles& files, FlatMemory& memory, const Storage& storage,
             std::int64_t layer, std::string prefix)
      : files_(files),
        memory_(memory),
        storage_(storage),
        layer_(layer),
        prefix_(std::move(prefix)) {}

  PartReader Below(const std::string& name) const {
    return {files_, memory_, storage_, layer_, prefix_ + name + "."};
  }

  // Of the type that was asked for.
  base::Result<at::Tensor> Matrix(const Names& names) const {
    CLOISTER_ASSIGN_OR_RETURN(const at::Tensor matrix, Tensor(names));
    return matrix.to(storage_.type);
  }

  // The same in blocks; null where it is to be dense, as rows that are no whole blocks are.
  // `outside`: it is no part of a layer, and has eight bits.
  base::Result<std::shared_ptr<const BlockMatrix>> Blocks(const Names& names,
                                                          bool outside = false) const {
    if (storage_.base == BaseWeights::kDense) return nullptr;
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<model::TensorView> views, Views(names));
    if (!BlockMatrix::Holds(views[0].row_elements())) return nullptr;
    CLOISTER_ASSIGN_OR_RETURN(
        BlockMatrix matrix,
        BlockMatrix::Quantize(names, views, outside ? BaseWeights::kQ8_0 : storage_.base));
    return std::make_shared<const BlockMatrix>(std::move(matrix));
  }

  // The named parameters, one below the other, fp32.
  base::Result<at::Tensor> Tensor(Names names) const {
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<model::TensorView> views, Views(names));
    for (std::string& name : names) name.insert(0, prefix_);
    at::Tensor tensor = memory_.Take(layer_, names, views);
    float* to = tensor.mutable_data_ptr<float>();
    for (const model::TensorView& view : views) {
      model::DequantizeRows(view, 0, view.rows(), to);
      to += view.elements();
    }
    return views[0].shape.size() == 1 ? tensor : tensor.view({-1, views[0].row_elements()});
  }

  // A vector that is no parameter.
  base::Result<at::Tensor> Constant(const std::string& name) const {
    CLOISTER_ASSIGN_OR_RETURN(const model::TensorView view, View(prefix_ + name));
    at::Tensor tensor = at::empty({view.elements()}, at::TensorOptions(at::kFloat));
    model::DequantizeRows(view, 0, view.rows(), tensor.mutable_data_ptr<float>());
    return tensor;
  }

  // Linear layers that read the same input.
  base::Result<LinearWeights> Linear(const Names& names, bool bias) const {
    Names weights, biases;
    for (const std::string& name : names) {
      weights.push_back(name + ".weight");
      biases.push_back(name + ".bias");
    }
    LinearWeights linear;
    CLOISTER_ASSIGN_OR_RETURN(linear.blocks, Blocks(weights));
    if (!linear.blocks) {
      CLOISTER_ASSIGN_OR_RETURN(linear.weight, Matrix(weights));
    }
    if (!bias) return linear;
    CLOISTER_ASSIGN_OR_RETURN(linear.bias, Tensor(biases));
    return linear;
  }

 private:
  base::Result<model::TensorView> View(const std::string& name) const {
    CLOISTER_ASSIGN_OR_RETURN(model::TensorView view, files_.Tensor(name));
    CLOISTER_RETURN_IF_ERROR(model::CheckFinite(name, view));
    return view;
  }
  // Of this part.
  base::Result<std::vector<model::TensorView>> Views(const Names& names) const {
    std::vector<model::TensorView> views;
    for (const std::string& name : names) {
      CLOISTER_ASSIGN_OR_RETURN(model::TensorView view, View(prefix_ + name));
      views.push_back(std::move(view));
    }
    return views;
  }

  const model::ModelFiles& files_;
  FlatMemory& memory_;
  Storage storage_;
  std::int64_t layer_;
  std::string prefix_;
};

base::Result<GroupedAttentionWeights> LoadGrouped(const PartReader& part,
                                                  const model::Architecture& a) {
  GroupedAttentionWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.qkv, part.Linear({"q_proj", "k_proj", "v_proj"}, a.qkv_bias));
  if (!a.qk_norm) return weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.q_norm, part.Tensor({"q_norm.weight"}));
  CLOISTER_ASSIGN_OR_RETURN(weights.k_norm, part.Tensor({"k_norm.weight"}));
  return weights;
}

base::Result<LatentAttentionWeights> LoadLatent(const PartReader& part,
                                                const model::Architecture& a) {
  LatentAttentionWeights weights;
  if (a.latent->query_rank == 0) {
    CLOISTER_ASSIGN_OR_RETURN(weights.query, part.Linear({"q_proj"}, false));
  } else {
    CLOISTER_ASSIGN_OR_RETURN(weights.query, part.Linear({"q_a_proj"}, a.qkv_bias));
    CLOISTER_ASSIGN_OR_RETURN(weights.query_norm, part.Tensor({"q_a_layernorm.weight"}));
    CLOISTER_ASSIGN_OR_RETURN(weights.query_up, part.Linear({"q_b_proj"}, false));
  }
  CLOISTER_ASSIGN_OR_RETURN(weights.kv_latent, part.Linear({"kv_a_proj_with_mqa"}, a.qkv_bias));
  CLOISTER_ASSIGN_OR_RETURN(weights.kv_norm, part.Tensor({"kv_a_layernorm.weight"}));
  CLOISTER_ASSIGN_OR_RETURN(weights.kv_up, part.Linear({"kv_b_proj"}, false));
  return weights;
}

base::Result<MlpWeights> LoadMlp(const PartReader& part, bool bias) {
  MlpWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.gate_up, part.Linear({"gate_proj", "up_proj"}, bias));
  CLOISTER_ASSIGN_OR_RETURN(weights.down, part.Linear({"down_proj"}, bias));
  return weights;
}

base::Result<ExpertsWeights> LoadExperts(const PartReader& part, const model::Experts& experts) {
  ExpertsWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.router, part.Tensor({"gate.weight"}));
  if (experts.correction_bias) {
    CLOISTER_ASSIGN_OR_RETURN(weights.correction_bias, part.Constant(kCorrectionBias));
  }
  for (std::int64_t i = 0; i < experts.count; ++i) {
    CLOISTER_ASSIGN_OR_RETURN(MlpWeights expert,
                              LoadMlp(part.Below("experts." + std::to_string(i)), false));
    weights.experts.push_back(std::move(expert));
  }
  if (experts.shared > 0) {
    CLOISTER_ASSIGN_OR_RETURN(weights.shared, LoadMlp(part.Below("shared_experts"), false));
  }
  return weights;
}

base::Result<LayerWeights> LoadLayer(const PartReader& part, const model::Architecture& a,
                                     std::int64_t layer) {
  const PartReader attention = part.Below("self_attn"), mlp = part.Below("mlp");
  LayerWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.input_norm, part.Tensor({"input_layernorm.weight"}));
  if (a.latent) {
    CLOISTER_ASSIGN_OR_RETURN(weights.latent, LoadLatent(attention, a));
  } else {
    CLOISTER_ASSIGN_OR_RETURN(weights.grouped, LoadGrouped(attention, a));
  }
  CLOISTER_ASSIGN_OR_RETURN(weights.output, attention.Linear({"o_proj"}, a.attention_output_bias));
  CLOISTER_ASSIGN_OR_RETURN(weights.post_norm, part.Tensor({"post_attention_layernorm.weight"}));
  if (a.has_experts(layer)) {
    CLOISTER_ASSIGN_OR_RETURN(weights.mixture, LoadExperts(mlp, *a.experts));
  } else {
    CLOISTER_ASSIGN_OR_RETURN(weights.dense, LoadMlp(mlp, a.mlp_bias));
  }
  return weights;
}

// In the order of Parameters(). What has been read of the files is let go of at once: it would
// stand in memory beside what was made of it.
base::Result<NetworkWeights> LoadInto(const model::ModelFiles& files,
                                      const model::Architecture& architecture, FlatMemory& memory,
                                      const Storage& storage) {
  constexpr char kEmbedding[] = "model.embed_tokens.weight", kHead[] = "lm_head.weight";
  CLOISTER_RETURN_IF_ERROR(model::CheckTensors(files, architecture));
  const PartReader all(files, memory, storage, /*layer=*/-1, "");
  NetworkWeights weights;
  CLOISTER_ASSIGN_OR_RETURN(weights.embedding_blocks, all.Blocks({kEmbedding}, /*outside=*/true));
  if (!weights.embedding_blocks) {
    CLOISTER_ASSIGN_OR_RETURN(weights.embedding, all.Matrix({kEmbedding}));
  }
  files.ReleasePages();
  CLOISTER_ASSIGN_OR_RETURN(weights.final_norm, all.Tensor({"model.norm.weight"}));
  if (architecture.tie_word_embeddings) {
    weights.head = weights.embedding;
    weights.head_blocks = weights.embedding_blocks;
  } else {
    CLOISTER_ASSIGN_OR_RETURN(weights.head_blocks, all.Blocks({kHead}, /*outside=*/true));
    if (!weights.head_blocks) {
      CLOISTER_ASSIGN_OR_RETURN(weights.head, all.Matrix({kHead}));
    }
  }
  for (std::int64_t layer = 0; layer < architecture.num_layers; ++layer) {
    files.ReleasePages();
    memory.Release();
    const PartReader part(files, memory, storage, layer,
                          "model.layers." + std::to_string(layer) + ".");
    CLOISTER_ASSIGN_OR_RETURN(LayerWeights loaded, LoadLayer(part, architecture, layer));
    weights.layers.push_back(std::move(loaded));
  }
  files.ReleasePages();
  memory.Release();
  return weights;
}

// Collects tensors that are there.
class ParameterList {
 public:
  void Add(const at::Tensor& tensor) {
    if (tensor.defined()) all_.push_back(tensor);
  }
  void Add(const LinearWeights& linear) {
    Add(linear.weight);
    Add(linear.bias);
  }
  void Add(const MlpWeights& mlp) {
    Add(mlp.gate_up);
    Add(mlp.down);
  }
  void Add(const GroupedAttentionWeights& attention) {
    Add(attention.qkv);
    Add(attention.q_norm);
    Add(attention.k_norm);
  }
  void Add(const LatentAttentionWeights& attention) {
    Add(attention.query);
    Add(attention.query_norm);
    Add(attention.query_up);
    Add(attention.kv_latent);
    Add(attention.kv_norm);
    Add(attention.kv_up);
  }
  void Add(const ExpertsWeights& experts) {
    Add(experts.router);
    for (const MlpWeights& expert : experts.experts) Add(expert);
    if (experts.shared) Add(*experts.shared);
  }
  void Add(const LayerWeights& layer) {
    Add(layer.input_norm);
    if (layer.grouped) Add(*layer.grouped);
    if (layer.latent) Add(*layer.latent);
    Add(layer.output);
    Add(layer.post_norm);
    if (layer.dense) Add(*layer.dense);
    if (layer.mixture) Add(*layer.mixture);
  }
  std::vector<at::Tensor> Take() && { return std::move(all_); }

 private:
  std::vector<at::Tensor> all_;
};

}  // namespace

std::vector<at::Tensor> LayerWeights::Parameters() const {
  ParameterList all;
  all.Add(*this);
  return std::move(all).Take();
}

std::vector<at::Tensor> NetworkWeights::Parameters() const {
  ParameterList all;
  all.Add(embedding);
  all.Add(final_norm);
  if (!head.is_same(embedding)) all.Add(head);
  for (const LayerWeights& layer : layers) all.Add(layer);
  return std::move(all).Take();
}

std::int64_t ParameterCount(const model::Architecture& architecture) {
  std::int64_t count = 0;
  for (const model::NamedShape& tensor : model::ExpectedTensors(architecture)) {
    if (tensor.name.ends_with(kCorrectionBias)) continue;
    std::int64_t elements = 1;
    for (const std::int64_t size : tensor.shape) elements *= size;
    count += elements;
  }
  return count;
}

base::Result<FlatWeights> LoadFlatWeights(const model::ModelFiles& files,
                                          const model::Architecture& architecture,
                                          const std::optional<KeptWeights>& kept) {
  FlatMemory memory(ParameterCount(architecture), kept);
  CLOISTER_ASSIGN_OR_RETURN(NetworkWeights weights,
                            LoadInto(files, architecture, memory, Storage()));
  return std::move(memory).Finish(std::move(weights));
}

base::Result<NetworkWeights> LoadWeights(const model::ModelFiles& files,
                                         const model::Architecture& architecture,
                                         Precision matrices, BaseWeights base) {
  FlatMemory memory;
  return LoadInto(files, architecture, memory,
                  {matrices == Precision::kBf16 ? at::kBFloat16 : at::kFloat, base});
}

}  // namespace cloister::trainer
