#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/tensor.h"

namespace cloister::model {

// Between Hugging Face's names and GGUF's for the llama family: model.layers.0.mlp.up_proj.weight
// and blk.0.ffn_up.weight. A name of neither is returned as it is.
std::string HuggingFaceTensorName(std::string_view gguf_name);
std::string GgufTensorName(std::string_view huggingface_name);

// Whether GGUF stores this tensor (Hugging Face's name) with its rows in pair order, and as how
// many heads: q_proj and k_proj.
bool IsQueryWeight(std::string_view huggingface_name);
bool IsKeyWeight(std::string_view huggingface_name);

// A head's rotary pairs stand as rows (i, i + head_dim/2) in Hugging Face's half order and as rows
// (2i, 2i + 1) in GGUF's pair order. `head_dim` is even.
std::int64_t HalfRowOf(std::int64_t pair_row, std::int64_t head_dim);

// A [heads * head_dim, in] tensor of GGUF's put into half order. Rows move whole, so any storage
// type will do.
std::vector<std::byte> PairRowsToHalves(const TensorView& tensor, std::int64_t head_dim);

}  // namespace cloister::model
