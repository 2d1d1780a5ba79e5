#include "model/gguf_layout.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace cloister::model {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;  // GGUF, Hugging Face

constexpr std::array<Pair, 3> kOuter = {{{"token_embd.weight", "model.embed_tokens.weight"},
                                         {"output_norm.weight", "model.norm.weight"},
                                         {"output.weight", "lm_head.weight"}}};
constexpr std::array<Pair, 9> kInLayer = {{{"attn_norm.weight", "input_layernorm.weight"},
                                           {"ffn_norm.weight", "post_attention_layernorm.weight"},
                                           {"attn_q.weight", "self_attn.q_proj.weight"},
                                           {"attn_k.weight", "self_attn.k_proj.weight"},
                                           {"attn_v.weight", "self_attn.v_proj.weight"},
                                           {"attn_output.weight", "self_attn.o_proj.weight"},
                                           {"ffn_gate.weight", "mlp.gate_proj.weight"},
                                           {"ffn_up.weight", "mlp.up_proj.weight"},
                                           {"ffn_down.weight", "mlp.down_proj.weight"}}};
constexpr Pair kLayerPrefix = {"blk.", "model.layers."};

std::string_view Side(const Pair& pair, bool huggingface) {
  return huggingface ? pair.second : pair.first;
}

std::string Translate(std::string_view name, bool to_huggingface) {
  for (const Pair& pair : kOuter) {
    if (Side(pair, !to_huggingface) == name) return std::string(Side(pair, to_huggingface));
  }
  const std::string_view prefix = Side(kLayerPrefix, !to_huggingface);
  if (!name.starts_with(prefix)) return std::string(name);
  const std::string_view rest = name.substr(prefix.size());
  const std::size_t dot = rest.find('.');
  if (dot == std::string_view::npos || dot == 0) return std::string(name);
  const std::string_view layer = rest.substr(0, dot);
  if (!std::all_of(layer.begin(), layer.end(), [](unsigned char c) { return std::isdigit(c); })) {
    return std::string(name);
  }
  for (const Pair& pair : kInLayer) {
    if (Side(pair, !to_huggingface) == rest.substr(dot + 1)) {
      return std::string(Side(kLayerPrefix, to_huggingface)) + std::string(layer) + "." +
             std::string(Side(pair, to_huggingface));
    }
  }
  return std::string(name);
}

}  // namespace

std::string HuggingFaceTensorName(std::string_view gguf_name) { return Translate(gguf_name, true); }
std::string GgufTensorName(std::string_view name) { return Translate(name, false); }

bool IsQueryWeight(std::string_view name) { return name.ends_with(".self_attn.q_proj.weight"); }
bool IsKeyWeight(std::string_view name) { return name.ends_with(".self_attn.k_proj.weight"); }

std::int64_t HalfRowOf(std::int64_t pair_row, std::int64_t head_dim) {
  const std::int64_t in_head = pair_row % head_dim;  // 2i + s
  return pair_row - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
}

std::vector<std::byte> PairRowsToHalves(const TensorView& tensor, std::int64_t head_dim) {
  CLOISTER_CHECK(head_dim > 0 && head_dim % 2 == 0 && tensor.rows() % head_dim == 0);
  const std::int64_t bytes = tensor.row_bytes();
  std::vector<std::byte> moved(tensor.data.size());
  for (std::int64_t row = 0; row < tensor.rows(); ++row) {
    std::memcpy(moved.data() + HalfRowOf(row, head_dim) * bytes, tensor.data.data() + row * bytes,
                static_cast<std::size_t>(bytes));
  }
  return moved;
}

}  // namespace cloister::model
