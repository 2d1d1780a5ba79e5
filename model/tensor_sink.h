#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/tensor.h"

namespace cloister::model {

// What a weight file announces of a tensor before its bytes follow.
struct TensorSpec {
  std::string name;  // in the file's own spelling
  DataType type = DataType::kF32;
  std::vector<std::int64_t> shape;  // outermost first

  std::int64_t elements() const;
  std::uint64_t bytes() const;
};

// A weight file, or the files of a model that is split, being written, one tensor after the other
// in the order of the specs that it was made with. Nothing appears at its path before Commit. Not
// thread-safe.
class TensorSink {
 public:
  virtual ~TensorSink() = default;
  // The next bytes, in pieces of any size that end where a tensor ends.
  virtual base::Status Write(std::span<const std::byte> bytes) = 0;
  // After the last tensor. Returns the size of what was written.
  virtual base::Result<std::uint64_t> Commit() = 0;
};

// Counts a sink's bytes against its specs. A CHECK fails on bytes that straddle two tensors.
class TensorProgress {
 public:
  explicit TensorProgress(std::vector<TensorSpec> tensors) : tensors_(std::move(tensors)) {}

  const std::vector<TensorSpec>& tensors() const { return tensors_; }
  // Returns whether a tensor ends with these bytes.
  bool Add(std::uint64_t bytes);
  bool done() const { return next_ == tensors_.size(); }

 private:
  std::vector<TensorSpec> tensors_;
  std::size_t next_ = 0;
  std::uint64_t written_ = 0;
};

}  // namespace cloister::model
