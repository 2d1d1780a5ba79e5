#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "dp/clipping/book_keeping.h"
#include "model/adapter.h"
#include "trainer/networks/network.h"

namespace cloister::trainer {

// A flat adapter vector cut into the matrices that the network reads. Path i's matrices are at
// layout entries 2i (A) and 2i + 1 (B).
struct AdapterView {
  NetworkAdapter network;
  std::vector<at::Tensor> leaves;                    // in layout order, requiring gradients
  std::vector<dp::clipping::ParameterShape> shapes;  // in layout order, a group a layer
};

// `parameters` fp32 [AdapterSize(layout)]; the view's matrices share its memory.
AdapterView MakeAdapterView(const model::LoraConfig& config,
                            const model::Architecture& architecture, const at::Tensor& parameters);

}  // namespace cloister::trainer
