#include "trainer/devices.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>

#include <exception>

namespace cloister::trainer {
namespace {

// Loads what makes at::hasCUDA() true, once.
base::Status LoadCuda() {
  static const base::Status loaded = []() -> base::Status {
    if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) return {};
    return base::Fail(base::Code::kFailedPrecondition,
                      "LibTorch's CUDA half does not load (" + std::string(dlerror()) +
                          "): install it with ./dev setup-gpu, or take training.device: cpu");
  }();
  return loaded;
}

}  // namespace

base::Result<c10::Device> OpenDevice(const std::string& name, std::int64_t local_rank) {
  c10::Device device(c10::kCPU);
  try {
    device = c10::Device(name);
  } catch (const std::exception&) {
    return base::Fail(base::Code::kInvalidArgument,
                      "there is no device '" + name + "': name cpu, cuda or cuda:N");
  }
  if (!device.is_cuda()) return device;
  CLOISTER_RETURN_IF_ERROR(LoadCuda());
  const int count = at::detail::getCUDAHooks().deviceCount();
  if (count <= 0) {
    return base::Fail(
        base::Code::kFailedPrecondition,
        "no NVIDIA GPU is here, or no driver for it: nvidia-smi shows what the driver "
        "sees; or take training.device: cpu");
  }
  const auto index = device.has_index() ? device.index() : local_rank % count;
  if (index >= count) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "there is no " + name + ": this machine has " + std::to_string(count) +
                          (count == 1 ? " GPU" : " GPUs") + ", counted from 0");
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

}  // namespace cloister::trainer
