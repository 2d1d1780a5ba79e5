#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "model/tensor_sink.h"

namespace cloister::model {

using TensorSpecs = std::vector<TensorSpec>;

// Cuts `tensors`, in their order, into groups of at most `max_bytes` of data each; a larger tensor
// is a group of its own. One group where `max_bytes` is 0 or nothing is to be cut.
std::vector<TensorSpecs> CutIntoShards(TensorSpecs tensors, std::uint64_t max_bytes);

// All shards are open until they are committed. kInvalidArgument when there are too many for that.
base::Status CheckShardCount(const std::filesystem::path& path, std::size_t count);

// Several files as one sink: `files` in the order of `shards`, each made for its tensors. Commit
// names the first file last, since a reader starts with it, and returns the sum of the sizes.
std::unique_ptr<TensorSink> JoinSinks(std::vector<std::unique_ptr<TensorSink>> files,
                                      const std::vector<TensorSpecs>& shards);

}  // namespace cloister::model
