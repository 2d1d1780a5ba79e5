#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/gguf/gguf_value.h"
#include "model/tensor.h"

namespace cloister::model {

struct GgufEntry {
  std::string name;  // GGUF's: blk.0.attn_q.weight
  TensorView view;   // shape outermost first, the reverse of the file's order
  // Why the tensor cannot be read, empty when it can: its type is not supported. Then the view
  // has a shape alone: no type and no data.
  std::string unsupported;
};

// One GGUF file of version 2 or 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md),
// little-endian. Views into its bytes.
struct GgufContents {
  static constexpr std::uint64_t kMaxValues = std::uint64_t{1} << 16;
  static constexpr std::uint64_t kMaxTensors = std::uint64_t{1} << 18;

  GgufValues metadata;
  std::vector<GgufEntry> entries;
};

// Checks every count, length, offset and alignment, that names occur once and that no two tensors
// overlap. kDataLoss when malformed; kUnimplemented for a version or byte order that is not
// supported.
base::Result<GgufContents> ReadGguf(std::span<const std::byte> bytes);

}  // namespace cloister::model
