#include "trainer/networks/adapter_view.h"

#include <ATen/ATen.h>

#include <array>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace cloister::trainer {
namespace {

// Target names in the order of enum Target.
constexpr std::array<std::string_view, kTargets> kNames = {
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};

std::size_t TargetOf(std::string_view name) {
  for (std::size_t i = 0; i < kTargets; ++i) {
    if (kNames[i] == name) return i;
  }
  CLOISTER_CHECK(false && "a validated target");
  return 0;
}

}  // namespace

AdapterView MakeAdapterView(const model::LoraConfig& config,
                            const model::Architecture& architecture, const at::Tensor& parameters) {
  const std::vector<model::AdapterTensor> layout = model::AdapterLayout(config, architecture);
  const std::size_t paths = config.targets.size() *
                            static_cast<std::size_t>(architecture.num_layers - config.first_layer);
  CLOISTER_CHECK(layout.size() == 2 * paths);
  AdapterView view;
  view.network.layers.resize(static_cast<std::size_t>(architecture.num_layers));
  view.network.first_layer = config.first_layer;
  view.network.scale = config.scale();
  for (const model::AdapterTensor& tensor : layout) {
    view.leaves.push_back(parameters.narrow(0, tensor.offset, tensor.rows * tensor.columns)
                              .view({tensor.rows, tensor.columns})
                              .detach()
                              .requires_grad_());
  }
  for (std::size_t path = 0; path < paths; ++path) {
    const model::AdapterTensor &a = layout[2 * path], &b = layout[2 * path + 1];
    CLOISTER_CHECK(a.is_a && !b.is_a && a.target == b.target);
    view.shapes.push_back({.rank = config.rank,
                           .in = a.columns,
                           .out = b.rows,
                           .a_offset = a.offset,
                           .b_offset = b.offset});
    const std::size_t layer =
        static_cast<std::size_t>(config.first_layer) + path / config.targets.size();
    const std::size_t target = TargetOf(config.targets[path % config.targets.size()]);
    view.network.layers[layer][target] = NetworkAdapter::Path{
        view.leaves[2 * path], view.leaves[2 * path + 1], static_cast<std::int64_t>(path)};
  }
  return view;
}

}  // namespace cloister::trainer
