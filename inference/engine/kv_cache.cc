#include "inference/engine/kv_cache.h"

#include <new>
#include <string>

namespace cloister::inference {

constexpr std::align_val_t kCacheLine{64};

void KvCache::Free::operator()(float* floats) const { ::operator delete[](floats, kCacheLine); }

// Left uninitialized: a large block is mapped page by page when it is first written.
KvCache::Floats KvCache::Reserve(std::int64_t count) {
  return Floats(new (kCacheLine, std::nothrow) float[static_cast<std::size_t>(count)]);
}

base::Result<KvCache> KvCache::Create(const model::Architecture& a, std::int64_t context) {
  KvCache cache;
  cache.heads_ = a.latent ? 1 : a.num_kv_heads;
  cache.row_size_ = a.latent ? a.latent->kv_rank + a.latent->rope_dim : a.head_dim;
  cache.context_ = context;
  std::int64_t floats = 0;
  const bool overflows =
      __builtin_mul_overflow(a.num_layers, cache.heads_ * cache.row_size_, &floats) ||
      __builtin_mul_overflow(floats, context, &floats) || floats > (std::int64_t{1} << 44);
  if (!overflows) {
    cache.keys_ = Reserve(floats);
    if (!a.latent) cache.values_ = Reserve(floats);
  }
  if (cache.keys_ == nullptr || (!a.latent && cache.values_ == nullptr)) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "no memory for the keys and values of " + std::to_string(context) +
                          " positions: ask for fewer tokens or a smaller context");
  }
  return cache;
}

}  // namespace cloister::inference
