#include "model/gguf/latent_up.h"

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace cloister::model {
namespace {

bool IsFloat(DataType type) {
  return type == DataType::kF32 || type == DataType::kF16 || type == DataType::kBF16;
}

std::vector<std::byte> ToF32(const TensorView& tensor) {
  const std::vector<float> values = ToFloat(tensor);
  const auto bytes = std::as_bytes(std::span<const float>(values));
  return {bytes.begin(), bytes.end()};
}

// A tensor's bytes in one of the float types.
struct Floats {
  Floats(const TensorView& tensor, DataType type) {
    if (tensor.type == type) {
      bytes = tensor.data;
    } else {
      converted = ToF32(tensor);
      bytes = converted;
    }
  }
  std::vector<std::byte> converted;
  std::span<const std::byte> bytes;
};

TensorView Owned(DataType type, std::vector<std::int64_t> shape, std::vector<std::byte> bytes) {
  TensorView view;
  view.type = type;
  view.shape = std::move(shape);
  view.owned = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  view.data = *view.owned;
  return view;
}

// to[c][r] = from[r][c] for elements of `size` bytes.
void Transpose(const std::byte* from, std::byte* to, std::size_t rows, std::size_t columns,
               std::size_t size) {
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      std::memcpy(to + (column * rows + row) * size, from + (row * columns + column) * size, size);
    }
  }
}

struct Sizes {
  Sizes(const LatentAttention& latent, DataType type)
      : element(static_cast<std::size_t>(BlockBytes(type))),
        nope(static_cast<std::size_t>(latent.nope_dim)),
        rank(static_cast<std::size_t>(latent.kv_rank)),
        keys(nope * rank * element),
        values(static_cast<std::size_t>(latent.value_dim) * rank * element) {}
  std::size_t element, nope, rank;
  std::size_t keys, values;  // bytes a head
};

}  // namespace

LatentUpProjection SplitLatentUp(const LatentAttention& latent, std::int64_t heads,
                                 const TensorView& kv_up) {
  const DataType type = IsFloat(kv_up.type) ? kv_up.type : DataType::kF32;
  const Sizes size(latent, type);
  const Floats stored(kv_up, type);
  std::vector<std::byte> keys(size.keys * static_cast<std::size_t>(heads));
  std::vector<std::byte> values(size.values * static_cast<std::size_t>(heads));
  const std::byte* from = stored.bytes.data();
  for (std::size_t head = 0; head < static_cast<std::size_t>(heads); ++head) {
    Transpose(from, keys.data() + head * size.keys, size.nope, size.rank, size.element);
    std::memcpy(values.data() + head * size.values, from + size.keys, size.values);
    from += size.keys + size.values;
  }
  return {Owned(type, {heads, latent.kv_rank, latent.nope_dim}, std::move(keys)),
          Owned(type, {heads, latent.value_dim, latent.kv_rank}, std::move(values))};
}

DataType JoinedType(DataType key, DataType value) {
  return key == value && IsFloat(key) ? key : DataType::kF32;
}

TensorView JoinLatentUp(const LatentAttention& latent, std::int64_t heads,
                        const LatentUpProjection& parts) {
  const DataType type = JoinedType(parts.key.type, parts.value.type);
  const Sizes size(latent, type);
  const Floats keys(parts.key, type), values(parts.value, type);
  std::vector<std::byte> joined((size.keys + size.values) * static_cast<std::size_t>(heads));
  std::byte* to = joined.data();
  for (std::size_t head = 0; head < static_cast<std::size_t>(heads); ++head) {
    Transpose(keys.bytes.data() + head * size.keys, to, size.rank, size.nope, size.element);
    std::memcpy(to + size.keys, values.bytes.data() + head * size.values, size.values);
    to += size.keys + size.values;
  }
  return Owned(type, {heads * (latent.nope_dim + latent.value_dim), latent.kv_rank},
               std::move(joined));
}

}  // namespace cloister::model
