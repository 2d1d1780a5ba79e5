#include "tests/trainer/other_device.h"

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/DeviceType.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <cstring>

namespace cloister::trainer {
namespace {

constexpr auto kType = c10::DeviceType::PrivateUse1;
std::atomic<long> operators = 0;

struct Guard final : c10::impl::NoOpDeviceGuardImpl<kType> {
  c10::Device exchangeDevice(c10::Device /*device*/) const override { return getDevice(); }
  c10::Device getDevice() const override { return {kType, 0}; }
  c10::Stream getStream(c10::Device /*device*/) const noexcept override { return Default(); }
  c10::Stream getNewStream(c10::Device /*device*/, int /*priority*/) const override {
    return Default();
  }
  c10::Stream exchangeStream(c10::Stream /*stream*/) const noexcept override { return Default(); }
  static c10::Stream Default() { return c10::Stream(c10::Stream::DEFAULT, c10::Device(kType, 0)); }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex /*device*/) const override { return true; }
};

// The device's addresses: no memory of the processor's, which faults where it is asked for them.
constexpr std::uintptr_t kThere = std::uintptr_t{1} << 62;
void* There(void* here) {
  return here == nullptr ? here
                         : reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(here) | kThere);
}
void* Here(const void* there) {
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(there) & ~kThere);
}

// The machine's memory under the device's name.
class Memory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    c10::DataPtr here = c10::GetDefaultCPUAllocator()->allocate(bytes);
    void* const data = here.get();
    auto* const held = new c10::DataPtr(std::move(here));
    return {There(data), held, &Free, c10::Device(kType, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(Here(to), Here(from), bytes);
  }

 private:
  static void Free(void* held) { delete static_cast<c10::DataPtr*>(held); }
};
Memory memory;

const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::ScalarType TypeOf(const std::optional<at::ScalarType>& type) {
  return type.value_or(at::kFloat);
}

at::Tensor Empty(at::IntArrayRef size, std::optional<at::ScalarType> type,
                 std::optional<at::Layout> /*layout*/, std::optional<at::Device> /*device*/,
                 std::optional<bool> /*pin*/, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, kKeys, TypeOf(type), format);
}

at::Tensor EmptyStrided(at::IntArrayRef size, at::IntArrayRef stride,
                        std::optional<at::ScalarType> type, std::optional<at::Layout> /*layout*/,
                        std::optional<at::Device> /*device*/, std::optional<bool> /*pin*/) {
  return at::detail::empty_strided_generic(size, stride, &memory, kKeys, TypeOf(type));
}

// The same memory as the CPU's.
at::Tensor Seen(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  return at::from_blob(Here(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
                       at::TensorOptions(tensor.scalar_type()));
}

at::Tensor CopyFrom(const at::Tensor& from, const at::Tensor& to, bool /*non_blocking*/) {
  Seen(to).copy_(Seen(from));
  return to;
}

at::Tensor CopyFromAndResize(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) {
    const at::Tensor resized = Empty(from.sizes(), to.scalar_type(), {}, {}, {}, {});
    to.unsafeGetTensorImpl()->set_storage_keep_dtype(resized.storage());
    to.unsafeGetTensorImpl()->set_sizes_contiguous(from.sizes());
  }
  return CopyFrom(from, to, false);
}

void RunOnCpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  ++operators;
  at::native::cpu_fallback(op, stack);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &Empty);
  m.impl("empty_strided", &EmptyStrided);
  m.impl("_copy_from", &CopyFrom);
  m.impl("_copy_from_and_resize", &CopyFromAndResize);
  m.impl("view", &at::native::view);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
}
TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&RunOnCpu>());
}

}  // namespace

c10::Device OtherDevice() {
  static const bool registered = [] {
    c10::register_privateuse1_backend("beside");
    at::RegisterPrivateUse1HooksInterface(new Hooks);
    return true;
  }();
  TORCH_CHECK(registered);
  return {kType, 0};
}

long OtherDeviceOperators() { return operators; }

}  // namespace cloister::trainer
