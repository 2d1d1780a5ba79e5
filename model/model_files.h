#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/architecture.h"
#include "model/tensor.h"

namespace cloister::model {

class Tokenizer;
class ChatTemplate;

// kv_b_proj of one layer, its key rows transposed a head.
struct LatentUpProjection {
  TensorView key;    // [heads, kv_rank, nope_dim]
  TensorView value;  // [heads, value_dim, kv_rank]
};

// A model on disk, opened from a Hugging Face folder or a GGUF file. Tensors keep the names and
// shapes of Hugging Face whatever the file's format:
//   model.embed_tokens.weight [vocab, hidden]           model.norm.weight [hidden]
//   model.layers.N.{input_layernorm,post_attention_layernorm}.weight [hidden]
//   model.layers.N.self_attn.{q,k,v,o}_proj.weight      [out, in], q and k with the rotary layout
//                                                       of the architecture
//   model.layers.N.mlp.{gate,up,down}_proj.weight       lm_head.weight (absent when tied)
// and whatever else ExpectedTensors lists: biases, q/k norms, latent attention, experts one by one.
// Tensors are views into the mapped files, except where GGUF keeps one in another order (q and k of
// a llama file, kv_b_proj): those are made anew at each call and owned by their view.
// Immutable and thread-safe after Open. Every offset, size and count in the file is checked.
class ModelFiles {
 public:
  // `path`: a folder with config.json, or a *.gguf file. A GGUF file without tensors (a bare
  // vocabulary) opens too; then `architecture()` may be absent.
  static base::Result<std::shared_ptr<const ModelFiles>> Open(const std::filesystem::path& path);
  virtual ~ModelFiles() = default;

  // Fails, naming the missing field or the family, when the file describes no supported network.
  virtual base::Result<Architecture> architecture() const = 0;
  virtual std::vector<std::string> TensorNames() const = 0;
  // kDataLoss naming the file and the tensor when it is absent, kUnimplemented when its type is not
  // supported.
  virtual base::Result<TensorView> Tensor(const std::string& name) const = 0;
  // What Tensor(name) would have; errors as Tensor's. Reads no weights.
  virtual base::Result<TensorDescription> Describe(const std::string& name) const;
  // What the file holds of it: itself, or the parts that it is made of.
  virtual base::Result<std::vector<TensorDescription>> DescribeStored(
      const std::string& name) const;
  // The two parts of latent attention's up-projection (kv_b_proj) as the absorbed form reads them.
  virtual base::Result<LatentUpProjection> LatentUp(std::int64_t layer) const;

  // Lets go of the memory that what was read of the files takes in this process. Views stay valid:
  // their bytes are read again where they are looked at.
  virtual void ReleasePages() const {}

  // kNotFound, naming the file that is missing (tokenizer.json), when the model has none.
  virtual base::Result<std::shared_ptr<const Tokenizer>> LoadTokenizer() const = 0;
  // It knows the model's special tokens (bos_token, …): an input needs only the conversation.
  virtual base::Result<std::shared_ptr<const ChatTemplate>> LoadChatTemplate() const = 0;

  virtual std::string format() const = 0;  // "gguf" or "huggingface"
  virtual std::filesystem::path path() const = 0;
};

struct NamedShape {
  std::string name;
  std::vector<std::int64_t> shape;
};

// Every tensor that the architecture has, in the order of the network: embedding, layers, norm,
// head.
std::vector<NamedShape> ExpectedTensors(const Architecture& architecture);

// Checks that every tensor the architecture needs is there with its shape, and none besides (once,
// when loading).
base::Status CheckTensors(const ModelFiles& files, const Architecture& architecture);

}  // namespace cloister::model
