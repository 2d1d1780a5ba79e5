#pragma once

#include <string>

namespace cloister::trainer {

// Of the activations between a network's products, and of the matrices that enter them.
//   kFp32
//   kBf16  products of bfloat16 factors, added up in fp32; what is trained stays fp32 and is
//          rounded for each product; residual stream, norms, softmax and loss are fp32
enum class Precision { kFp32, kBf16 };

// What frozen matrices are kept as: numbers, or blocks with a scale each, which become numbers as
// products need them (QLoRA, Dettmers et al. 2023). Vectors, routers and whatever is trained are
// never quantized.
//   kDense  numbers of the precision above
//   kQ8_0   8 bits, 32 to a block    kQ4_0  4 bits, 32 to a block (model/tensor.h)
//   kNf4    4 bits at the quantiles of a normal distribution, 64 to a block (nf4.h)
// The embedding and the head have 8 bits, or fewer where a file has them so.
enum class BaseWeights { kDense, kQ8_0, kQ4_0, kNf4 };

// How a network computes its passes, whatever it learns.
struct ComputeOptions {
  // Keep each decoder layer's input alone for the backward pass, which computes the layer once more
  // (Chen et al. 2016): less memory, a forward pass more, the same bits.
  bool activation_checkpointing = false;
  Precision precision = Precision::kFp32;
  // Put the examples of a micro-batch behind one another in one row, without padding; each sees
  // itself alone, from position 0. Not for private steps, whose examples have passes of their own.
  bool packing = false;
  // Of all weights, where they are trained: each of several ranks keeps its part, and has a layer's
  // while it computes it (ShardedParameters). With it goes activation checkpointing.
  bool shard_parameters = false;
  BaseWeights base = BaseWeights::kDense;
  // Where passes are computed, as OpenDevice() takes it. Parameters, what is done with gradients,
  // and frozen matrices in blocks are on the CPU whatever it is.
  std::string device = "cpu";
};

}  // namespace cloister::trainer
