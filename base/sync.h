#pragma once

#include <filesystem>

namespace cloister::base {

// Brings a file or a folder to the disk. False, with errno, where that fails.
bool SyncPath(const std::filesystem::path& path);

}  // namespace cloister::base
