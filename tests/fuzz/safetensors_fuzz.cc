// Any bytes as a safetensors file: the header and a row of every tensor.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/finite.h"
#include "model/huggingface/safetensors_file.h"

namespace cloister::model {
namespace {

void ReadRows(const TensorView& tensor) {
  (void)AllFinite(tensor);
  if (tensor.elements() == 0) return;
  std::vector<float> row(static_cast<std::size_t>(tensor.row_elements()));
  for (const std::int64_t index : {std::int64_t{0}, tensor.rows() - 1}) {
    DequantizeRow(tensor, index, row.data());
  }
}

// Every pair of tensors as weight and scales.
void ReadScaled(const SafetensorsFile& file) {
  if (file.entries().size() > 8) return;
  for (const auto& [name, entry] : file.entries()) {
    for (const auto& [other, scales] : file.entries()) {
      const auto weight = file.Tensor(name);
      const auto factors = file.Tensor(other);
      if (!weight || !factors) continue;
      const auto scaled = WithScales(name, *weight, *factors, 2, 3);
      if (scaled) (void)ToFloat(*scaled);
    }
  }
}

void ReadModel(std::span<const std::byte> bytes) {
  const auto file = SafetensorsFile::Read(bytes, "fuzz.safetensors");
  if (!file) return;
  for (const auto& [name, entry] : file->entries()) {
    const auto tensor = file->Tensor(name);
    if (tensor) ReadRows(*tensor);
  }
  ReadScaled(*file);
}

}  // namespace
}  // namespace cloister::model

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cloister::model::ReadModel(std::as_bytes(std::span(data, size)));
  return 0;
}
