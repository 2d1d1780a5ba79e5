#pragma once

#include <c10/core/Device.h>

namespace cloister::trainer {

// A device beside the CPU, as LibTorch sees it: tensors on it mix with the CPU's no more than a
// GPU's do, our own code must not read their memory, and backward passes have a thread of their
// own. Its memory is the machine's, and every operator is LibTorch's for the CPU. Registers it once;
// TrainableModel::Load knows it by kOtherDevice.
inline constexpr char kOtherDevice[] = "privateuseone:0";
c10::Device OtherDevice();

// How many operators it has run.
long OtherDeviceOperators();

}  // namespace cloister::trainer
