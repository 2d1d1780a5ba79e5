#include "trainer/distributed/nccl_backend.h"

#include <ATen/ATen.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

// By its name for dlsym. C++ on both sides, of one compiler.
extern "C" __attribute__((visibility("default"))) c10::intrusive_ptr<c10d::Backend>
CloisterMakeNccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                 const c10::Device& device, std::chrono::milliseconds patience) {
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = patience;
  const auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
  // Connects now: where a rank is missing, at once and not in the middle of a step.
  group->setBoundDeviceId(device);
  group->eagerConnectSingleDevice(device);
  return group;
}

static_assert(std::is_same_v<decltype(CloisterMakeNccl), cloister::trainer::MakeNcclFunction>);
