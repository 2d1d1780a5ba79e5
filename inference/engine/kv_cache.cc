#include "inference/engine/kv_cache.h"

#include <new>
#include <string>

namespace cloister::inference {

base::Result<KvCache> KvCache::Create(const model::Architecture& architecture,
                                      std::int64_t context) {
  std::int64_t floats = 0;
  const bool overflows =
      __builtin_mul_overflow(architecture.num_layers, architecture.kv_size(), &floats) ||
      __builtin_mul_overflow(floats, context, &floats) || floats > (std::int64_t{1} << 44);
  KvCache cache;
  cache.kv_heads_ = architecture.num_kv_heads;
  cache.head_dim_ = architecture.head_dim;
  cache.context_ = context;
  if (!overflows) {
    // Left uninitialized: a large block is mapped page by page when it is first written.
    cache.keys_.reset(new (std::nothrow) float[static_cast<std::size_t>(floats)]);
    cache.values_.reset(new (std::nothrow) float[static_cast<std::size_t>(floats)]);
  }
  if (cache.keys_ == nullptr || cache.values_ == nullptr) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "no memory for the keys and values of " + std::to_string(context) +
                          " positions: ask for fewer tokens or a smaller context");
  }
  return cache;
}

}  // namespace cloister::inference
