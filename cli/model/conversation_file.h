#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/result.h"

namespace cloister::cli {

// The variables of a chat template: a file with one JSON object whose keys keep their order.
// kNotFound when absent; kDataLoss, naming the file and the place, when it is malformed, nested too
// deep or an object in it has too many keys.
base::Result<nlohmann::ordered_json> ReadConversation(const std::filesystem::path& path);

}  // namespace cloister::cli
