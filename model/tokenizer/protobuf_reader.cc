#include "model/tokenizer/protobuf_reader.h"

#include <bit>

namespace cloister::model {
namespace {

tl::unexpected<base::Error> Broken() {
  return base::Fail(base::Code::kDataLoss,
                    "the file is cut off or no Protocol Buffers message: fetch it again");
}

std::uint64_t LittleEndian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i > 0; --i) {
    value = value << 8 | static_cast<unsigned char>(bytes[i - 1]);
  }
  return value;
}

}  // namespace

float ProtobufReader::Field::AsFloat() const {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value));
}

base::Result<std::uint64_t> ProtobufReader::Varint() {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest_[0]);
    rest_.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return Broken();
}

base::Result<std::string_view> ProtobufReader::Take(std::uint64_t size) {
  if (size > rest_.size()) return Broken();
  const std::string_view taken = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return taken;
}

base::Result<ProtobufReader::Field> ProtobufReader::Next() {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t tag, Varint());
  Field field;
  if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return Broken();
  field.number = static_cast<std::uint32_t>(tag >> 3);
  switch (tag & 7) {
    case 0: {
      CLOISTER_ASSIGN_OR_RETURN(field.value, Varint());
      return field;
    }
    case 1: {
      CLOISTER_ASSIGN_OR_RETURN(const std::string_view bytes, Take(8));
      field.value = LittleEndian(bytes);
      return field;
    }
    case 2: {
      CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t size, Varint());
      CLOISTER_ASSIGN_OR_RETURN(field.bytes, Take(size));
      return field;
    }
    case 5: {
      CLOISTER_ASSIGN_OR_RETURN(const std::string_view bytes, Take(4));
      field.value = LittleEndian(bytes);
      return field;
    }
    default:
      return Broken();
  }
}

}  // namespace cloister::model
