#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::model {

// The header of a safetensors file (https://huggingface.co/docs/safetensors): a JSON object of
// tensors, {"NAME": {"dtype": …, "shape": […], "data_offsets": [BEGIN, END]}}, and __metadata__, an
// object of strings.
struct SafetensorsHeader {
  static constexpr std::uint64_t kMaxBytes = std::uint64_t{100} << 20;  // the format's own limit
  static constexpr std::size_t kMaxDimensions = 16;

  struct Entry {
    std::string dtype;  // F32, F16, BF16, I64, …
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0;  // into the data
    std::uint64_t end = 0;
  };

  std::map<std::string, Entry> entries;
  std::map<std::string, std::string> metadata;
};

// Reads `text` and checks it against `data_size` bytes of data: known dtypes, shapes that take
// exactly the bytes of their offsets, no name twice, and tensors that cover the data without
// overlap or gap. kDataLoss, naming the tensor; kUnimplemented for a dtype that is not known.
base::Result<SafetensorsHeader> ReadSafetensorsHeader(std::string_view text,
                                                      std::uint64_t data_size);

}  // namespace cloister::model
