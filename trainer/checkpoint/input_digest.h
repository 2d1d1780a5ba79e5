#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"

namespace cloister::trainer {

// SHA-256, hex, of a model: of its one file, or of the names and contents of the files of its
// folder that say what it computes (config, weights, tokenizer, template). kNotFound where it is
// neither.
base::Result<std::string> ModelDigest(const std::filesystem::path& model);

// SHA-256, hex, of one file's contents.
base::Result<std::string> FileDigest(const std::filesystem::path& file);

// Of a run's inputs, as far as they were computed already: each is read whole for it. Plain ones:
// ranks may show them to each other, and a private run writes them nowhere.
struct KnownDigests {
  std::optional<std::string> model;  // ModelDigest
  std::optional<std::string> train;  // FileDigest of data.train
};

}  // namespace cloister::trainer
