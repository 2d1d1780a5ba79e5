#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "model/architecture.h"

namespace cloister::inference {

// Keys (rotated) and values of one sequence in fp32. Each key-value head of each layer has its
// positions one after another, [context, head_dim], so that a head's attention reads one run of
// memory. Pages that no position reached yet cost no memory. Not thread-safe, except that
// different heads and positions may be written by different threads.
class KvCache {
 public:
  // kFailedPrecondition when so much memory cannot be reserved.
  static base::Result<KvCache> Create(const model::Architecture& architecture,
                                      std::int64_t context);

  std::int64_t context() const { return context_; }  // positions there is room for
  std::int64_t size() const { return size_; }        // positions held
  void Advance(std::int64_t positions) { size_ += positions; }
  void Clear() { size_ = 0; }

  // [context, head_dim]
  float* Keys(std::int64_t layer, std::int64_t head) { return keys_.get() + At(layer, head); }
  float* Values(std::int64_t layer, std::int64_t head) { return values_.get() + At(layer, head); }

 private:
  KvCache() = default;
  std::int64_t At(std::int64_t layer, std::int64_t head) const {
    return (layer * kv_heads_ + head) * context_ * head_dim_;
  }

  std::int64_t kv_heads_ = 0;
  std::int64_t head_dim_ = 0;
  std::int64_t context_ = 0;
  std::int64_t size_ = 0;
  std::unique_ptr<float[]> keys_;
  std::unique_ptr<float[]> values_;
};

}  // namespace cloister::inference
