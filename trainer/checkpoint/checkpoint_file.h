#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/mapped_file.h"
#include "base/result.h"
#include "security/secret_bytes.h"

namespace cloister::trainer {

// What a checkpoint says beside its arrays.
struct CheckpointHeader {
  std::int64_t step = 0;        // that it stands after
  bool moved = false;           // whether a step changed a parameter
  std::string recipe;           // as ToYaml() writes it, without what may change (PinnedRecipe)
  std::string model_digest;     // SHA-256, hex, of the model's files
  std::string data_digest;      // SHA-256, hex, of the training file; keyed with privacy
  std::string events;           // the lines of events.jsonl so far
  std::int64_t evaluated = -1;  // the step of the last held-out loss among them; -1: none
  struct Private {
    std::string job;       // of the ledger's rows
    double clip_norm = 0;  // where it has moved to
  };
  std::optional<Private> privacy;
  // Of those so far, by their held-out losses, where the best one is kept.
  struct Best {
    std::int64_t step = 0;
    double loss = 0;
  };
  std::optional<Best> best;
};

// Arrays by name, as they lie in memory (little-endian).
using CheckpointArrays = std::map<std::string, std::span<const std::byte>>;

// Writes docs/reference/checkpoints.md's format: the file appears whole and durable or not at all,
// mode 0600. `key`, where there is one, is whose holder alone could have written it. Errors as
// base::AtomicFile; kResourceExhausted for a header that would be too large to read.
base::Status WriteCheckpoint(const std::filesystem::path& path, const CheckpointHeader& header,
                             const CheckpointArrays& arrays, const security::SecretBytes* key);

// A checkpoint that was read and found whole. Immutable.
class CheckpointFile {
 public:
  // kNotFound when absent; kDataLoss for one that is cut off, altered or of another format.
  static base::Result<CheckpointFile> Open(const std::filesystem::path& path);

  const CheckpointHeader& header() const { return header_; }
  // Whether it was written with this key, and not altered since.
  bool IsOf(const security::SecretBytes& key) const;
  // kDataLoss unless there is an array of this name and size.
  base::Result<std::span<const std::byte>> Array(const std::string& name, std::size_t bytes) const;
  // Of whatever size; empty where there is none.
  std::span<const std::byte> Array(const std::string& name) const;

 private:
  CheckpointFile(base::MappedFile file, CheckpointHeader header, CheckpointArrays arrays)
      : file_(std::move(file)), header_(std::move(header)), arrays_(std::move(arrays)) {}
  static base::Result<CheckpointHeader> ReadHeader(std::span<const std::byte>& rest,
                                                   CheckpointArrays& arrays);

  base::MappedFile file_;
  CheckpointHeader header_;
  CheckpointArrays arrays_;
};

}  // namespace cloister::trainer
