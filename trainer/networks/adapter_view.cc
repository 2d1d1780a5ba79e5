#include "trainer/networks/adapter_view.h"

#include <ATen/ATen.h>

#include <map>

#include "base/check.h"

namespace cloister::trainer {
AdapterView MakeAdapterView(const model::LoraConfig& config,
                            const model::Architecture& architecture, const at::Tensor& parameters) {
  const std::vector<model::AdapterTensor> layout = model::AdapterLayout(config, architecture);
  AdapterView view;
  view.network.layers.resize(static_cast<std::size_t>(architecture.num_layers));
  view.network.first_layer = config.first_layer;
  view.network.scale = config.scale();
  std::map<std::int64_t, std::int64_t> groups;  // of a layer
  for (const model::AdapterTensor& tensor : layout) {
    view.leaves.push_back(parameters.narrow(0, tensor.offset, tensor.rows * tensor.columns)
                              .view({tensor.rows, tensor.columns})
                              .detach()
                              .requires_grad_());
    view.shapes.push_back(
        {.rows = tensor.rows,
         .columns = tensor.columns,
         .offset = tensor.offset,
         .group =
             groups.emplace(tensor.layer, static_cast<std::int64_t>(groups.size())).first->second});
  }
  for (std::size_t path = 0; 2 * path < layout.size(); ++path) {
    const model::AdapterTensor &a = layout[2 * path], &b = layout[2 * path + 1];
    const auto number = static_cast<std::int64_t>(2 * path);
    CLOISTER_CHECK(a.is_a && !b.is_a && a.target == b.target);
    auto& paths = view.network.layers[static_cast<std::size_t>(a.layer)];
    paths[static_cast<std::size_t>(TargetOf(a.projection))] =
        NetworkAdapter::Path{view.leaves[2 * path], view.leaves[2 * path + 1], number, number + 1};
  }
  return view;
}

}  // namespace cloister::trainer
