#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace cloister::model {

// Reads the fields of one Protocol Buffers message (protobuf.dev, "Encoding") without copying.
class ProtobufReader {
 public:
  explicit ProtobufReader(std::string_view message) : rest_(message) {}

  struct Field {
    std::uint32_t number = 0;
    std::uint64_t value = 0;  // of a varint, a fixed32 or a fixed64
    std::string_view bytes;   // of a length-delimited field

    float AsFloat() const;  // of a fixed32
  };
  bool AtEnd() const { return rest_.empty(); }
  // The next field. kDataLoss for bytes that are none.
  base::Result<Field> Next();

 private:
  base::Result<std::uint64_t> Varint();
  base::Result<std::string_view> Take(std::uint64_t size);

  std::string_view rest_;
};

}  // namespace cloister::model
