#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace cloister::trainer {

// SHA-256, hex, of a model: of its one file, or of the names and contents of the files of its
// folder that say what it computes (config, weights, tokenizer, template). kNotFound where it is
// neither.
base::Result<std::string> ModelDigest(const std::filesystem::path& model);

// SHA-256, hex, of one file's contents.
base::Result<std::string> FileDigest(const std::filesystem::path& file);

}  // namespace cloister::trainer
