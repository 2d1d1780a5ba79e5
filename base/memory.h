#pragma once

#include <cstdint>
#include <optional>

namespace cloister::base {

// Bytes that this process may still take before the machine, or the control group that it runs in,
// has none left; nullopt where the system does not say.
std::optional<std::int64_t> AvailableMemory();

// What this process holds of memory now, bytes, and the most since ResetPeakMemory(); nullopt where
// the system does not say.
std::optional<std::int64_t> ResidentMemory();
std::optional<std::int64_t> PeakMemory();
// False where the system does not let it be reset: PeakMemory() is then that since the start.
bool ResetPeakMemory();

}  // namespace cloister::base
