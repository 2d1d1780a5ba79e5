// Any bytes as a GGUF file: the header, every value, a row of every tensor, and what a model file
// says of its network.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/finite.h"
#include "model/gguf/gguf_architecture.h"
#include "model/gguf/gguf_file.h"

namespace cloister::model {
namespace {

std::size_t TouchText(std::string_view text) {
  std::size_t sum = 0;
  for (const char character : text) sum += static_cast<unsigned char>(character);
  return sum;
}

std::size_t Touch(const GgufValue& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return TouchText(*text);
  if (const auto* texts = std::get_if<GgufStrings>(&value)) {
    std::size_t sum = 0;
    for (const std::string_view text : *texts) sum += TouchText(text);
    return sum;
  }
  if (const auto* nested = std::get_if<std::shared_ptr<const GgufNested>>(&value)) {
    std::size_t sum = 0;
    for (const GgufValue& array : (*nested)->arrays) sum += Touch(array);
    return sum;
  }
  return value.index();
}

void ReadRows(const TensorView& tensor) {
  (void)AllFinite(tensor);
  std::vector<float> row(static_cast<std::size_t>(tensor.row_elements()));
  for (const std::int64_t index : {std::int64_t{0}, tensor.rows() - 1}) {
    DequantizeRow(tensor, index, row.data());
  }
  if (tensor.shape.size() == 3) (void)ToFloat(Slice(tensor, tensor.shape[0] - 1));
}

void ReadModel(std::span<const std::byte> bytes) {
  const auto file = GgufFile::Read(bytes, "fuzz.gguf");
  if (!file) return;
  std::size_t sum = 0;
  for (const auto& [key, value] : file->metadata()) sum += TouchText(key) + Touch(value);
  for (const GgufEntry& entry : file->entries()) {
    sum += TouchText(entry.name) + TouchText(entry.unsupported);
    if (entry.unsupported.empty()) ReadRows(entry.view);
  }
  asm volatile("" : : "r"(sum));  // so that the reads are not left out
  (void)ArchitectureFromGguf(*file);
}

}  // namespace
}  // namespace cloister::model

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cloister::model::ReadModel(std::as_bytes(std::span(data, size)));
  return 0;
}
