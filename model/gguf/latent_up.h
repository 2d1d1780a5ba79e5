#pragma once

#include <cstdint>

#include "model/architecture.h"
#include "model/model_files.h"
#include "model/tensor.h"

namespace cloister::model {

// Latent attention's up-projection as one matrix, kv_b_proj [heads * (nope_dim + value_dim),
// kv_rank] with a head's key rows above its value rows (Hugging Face), and as two with the keys
// transposed (GGUF, and what the absorbed form reads). The float types stay; others become F32.
// Shapes are checked by the caller.
LatentUpProjection SplitLatentUp(const LatentAttention& latent, std::int64_t heads,
                                 const TensorView& kv_up);
DataType JoinedType(DataType key, DataType value);
TensorView JoinLatentUp(const LatentAttention& latent, std::int64_t heads,
                        const LatentUpProjection& parts);

}  // namespace cloister::model
