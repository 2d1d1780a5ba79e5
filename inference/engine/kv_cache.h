#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "model/architecture.h"

namespace cloister::inference {

// What one sequence's attention reads of the tokens before, in fp32. In grouped-query attention
// each key-value head of each layer has its rotated keys and its values one position after another,
// [context, head_dim]; in latent attention each layer has one row [kv_rank + rope_dim] a position,
// the normed latent and the rotated key that all heads share. So a head's attention reads one run
// of memory. Pages that no position reached yet cost no memory. Not thread-safe, except that
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

  // Grouped-query attention: [context, head_dim].
  float* Keys(std::int64_t layer, std::int64_t head) { return keys_.get() + At(layer, head); }
  float* Values(std::int64_t layer, std::int64_t head) { return values_.get() + At(layer, head); }
  // Latent attention: [context, kv_rank + rope_dim].
  float* Latents(std::int64_t layer) { return keys_.get() + At(layer, 0); }

 private:
  // Memory that starts at a cache line, so that rows of whole lines stay within theirs.
  struct Free {
    void operator()(float* floats) const;
  };
  using Floats = std::unique_ptr<float[], Free>;
  static Floats Reserve(std::int64_t count);

  KvCache() = default;
  std::int64_t At(std::int64_t layer, std::int64_t head) const {
    return (layer * heads_ + head) * context_ * row_size_;
  }

  std::int64_t heads_ = 0;  // rows a layer and position
  std::int64_t row_size_ = 0;
  std::int64_t context_ = 0;
  std::int64_t size_ = 0;
  Floats keys_;  // or latents
  Floats values_;
};

}  // namespace cloister::inference
