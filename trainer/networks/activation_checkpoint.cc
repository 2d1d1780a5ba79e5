#include "trainer/networks/activation_checkpoint.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>
#include <vector>

#include "dp/clipping/once_differentiable.h"

namespace cloister::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The form in which autograd's context can keep a Segment.
struct HeldSegment : torch::CustomClassHolder {
  explicit HeldSegment(Segment run) : run(std::move(run)) {}
  Segment run;
};

struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  // Runs without autograd, as every forward() does.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, at::TensorList leaves,
                            const c10::intrusive_ptr<HeldSegment>& segment) {
    variable_list saved = {x};
    saved.insert(saved.end(), leaves.begin(), leaves.end());
    context->save_for_backward(std::move(saved));
    context->saved_data["segment"] = at::IValue::make_capsule(segment);
    return segment->run(x);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    dp::clipping::RefuseSecondDerivative();
    const variable_list saved = context->get_saved_variables();
    const auto segment =
        c10::static_intrusive_pointer_cast<HeldSegment>(context->saved_data["segment"].toCapsule());
    const bool of_input = context->needs_input_grad(0);
    const at::Tensor x = saved[0].detach().requires_grad_(of_input);
    at::Tensor y;
    {
      const at::AutoGradMode differentiate(true);
      y = segment->run(x);
    }
    variable_list wanted;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < saved.size(); ++i) {
      if (!context->needs_input_grad(i)) continue;
      wanted.push_back(i == 0 ? x : saved[i]);
      places.push_back(i);
    }
    // An observed leaf gets no gradient: its part of the graph is run all the same.
    variable_list found = torch::autograd::grad({y}, wanted, {gradients[0]}, /*retain_graph=*/false,
                                                /*create_graph=*/false, /*allow_unused=*/true);
    variable_list result(saved.size() + 1);
    for (std::size_t i = 0; i < places.size(); ++i) result[places[i]] = std::move(found[i]);
    return result;
  }
};

}  // namespace

at::Tensor Checkpoint(Segment segment, const at::Tensor& x, at::TensorList leaves) {
  if (!at::GradMode::is_enabled()) return segment(x);
  return CheckpointFunction::apply(x, leaves, c10::make_intrusive<HeldSegment>(std::move(segment)));
}

}  // namespace cloister::trainer
