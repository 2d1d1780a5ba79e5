#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/architecture.h"
#include "model/tensor.h"

namespace cloister::model {

// How a network's tensors stand in a GGUF file, as llama.cpp's converter lays them out
// (gguf-py's tensor names, "Hugging Face" names being those of ModelFiles).

// The general.architecture under which llama.cpp computes this network: llama, qwen2, qwen3 or
// deepseek2.
std::string GgufArchitecture(const Architecture& architecture);

// Rows of a tensor whose rotary pairs GGUF wants as rows (2i, 2i + 1) where Hugging Face has
// (i, i + rows/2): in every head of `head_rows` rows, `rows` rows from `first` on.
struct PairOrder {
  std::int64_t head_rows = 0;
  std::int64_t first = 0;
  std::int64_t rows = 0;
  // The row of Hugging Face's order that is row `pair_row` of GGUF's.
  std::int64_t HalfRowOf(std::int64_t pair_row) const;
};

// One tensor of a GGUF file and the network's tensors that it holds.
struct GgufTensor {
  enum class Form {
    kSame,     // one tensor as it is, but for `order`
    kStack,    // several of one shape, one after the other
    kKeyUp,    // kv_b_proj's key rows, transposed a head: [heads, kv_rank, nope_dim]
    kValueUp,  // kv_b_proj's value rows a head: [heads, value_dim, kv_rank]
  };
  std::string name;
  std::vector<std::int64_t> shape;  // outermost first
  Form form = Form::kSame;
  std::vector<std::string> parts;  // Hugging Face's names
  std::optional<PairOrder> order;
};

// Every tensor of the network in the order of the file, rope_freqs.weight left out.
std::vector<GgufTensor> GgufTensors(const Architecture& architecture);

// What follows "blk.N." where files of before April 2025 have kv_b_proj as it is, in place of
// kKeyUp and kValueUp.
inline constexpr char kLegacyKvUp[] = "attn_kv_b.weight";

// The rows of `tensor`, a tensor in pair order, put into half order. Rows move whole, so any
// storage type will do; a vector's rows are its elements.
std::vector<std::byte> PairRowsToHalves(const TensorView& tensor, const PairOrder& order);

}  // namespace cloister::model
