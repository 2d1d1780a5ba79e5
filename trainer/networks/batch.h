#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "trainer/data/example.h"
#include "trainer/networks/network.h"

namespace cloister::trainer {

// Examples of one micro-batch as tensors: one a row, or `packed` behind one another in one row. Row
// i of `position` names the hidden state (of the flattened rows) that predicts targets[i]. The last
// token of an example predicts nothing and is left out of `ids`.
struct Batch {
  at::Tensor ids;                     // i64 [examples, tokens], right-padded with 0; packed [1, ..]
  at::Tensor position;                // i64 [n]
  at::Tensor targets;                 // i64 [n]
  at::Tensor example;                 // i64 [n]
  at::Tensor weight;                  // fp32 [n]: 1 / answer tokens of the example
  std::vector<std::int64_t> lengths;  // tokens of each example, the last one included
  std::vector<std::int64_t> segments;  // packed: how many of the row's are each example's

  Batch On(const at::Device& device) const;
};

// On the CPU. Every example must have an answer token.
Batch MakeBatch(std::span<const Example> examples, std::span<const std::size_t> chosen,
                bool packed = false);

// Mean answer-token loss of each example, fp32 [examples], on the network's device.
at::Tensor BatchLoss(const Network& network, const NetworkAdapter* adapter, const Batch& batch);

}  // namespace cloister::trainer
