#include "model/gguf_cursor.h"

#include <limits>
#include <string>

namespace cloister::model {

using base::Code;

tl::unexpected<base::Error> GgufCursor::CutOff() {
  return base::Fail(Code::kDataLoss, "the header is cut off: the file is damaged, fetch it again");
}

base::Result<std::string_view> GgufCursor::ReadString() {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t size, Read<std::uint64_t>());
  if (size > left()) return CutOff();
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + position_, size);
  position_ += size;
  return text;
}

base::Result<GgufValue> GgufCursor::ReadValue() {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint32_t type, Read<std::uint32_t>());
  if (static_cast<GgufType>(type) == GgufType::kArray) return ReadArray();
  return ReadScalar(static_cast<GgufType>(type));
}

namespace {

template <typename T>
base::Result<GgufValue> Widen(base::Result<T> value) {
  if (!value) return base::Forward(std::move(value));
  if constexpr (std::is_floating_point_v<T>) {
    return GgufValue(static_cast<double>(*value));
  } else if constexpr (std::is_signed_v<T>) {
    return GgufValue(static_cast<std::int64_t>(*value));
  } else {
    return GgufValue(static_cast<std::uint64_t>(*value));
  }
}

}  // namespace

base::Result<GgufValue> GgufCursor::ReadScalar(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
      return Widen(Read<std::uint8_t>());
    case GgufType::kInt8:
      return Widen(Read<std::int8_t>());
    case GgufType::kUint16:
      return Widen(Read<std::uint16_t>());
    case GgufType::kInt16:
      return Widen(Read<std::int16_t>());
    case GgufType::kUint32:
      return Widen(Read<std::uint32_t>());
    case GgufType::kInt32:
      return Widen(Read<std::int32_t>());
    case GgufType::kFloat32:
      return Widen(Read<float>());
    case GgufType::kUint64:
      return Widen(Read<std::uint64_t>());
    case GgufType::kInt64:
      return Widen(Read<std::int64_t>());
    case GgufType::kFloat64:
      return Widen(Read<double>());
    case GgufType::kBool: {
      CLOISTER_ASSIGN_OR_RETURN(const std::uint8_t flag, Read<std::uint8_t>());
      if (flag > 1) break;
      return GgufValue(flag == 1);
    }
    case GgufType::kString: {
      CLOISTER_ASSIGN_OR_RETURN(const std::string_view text, ReadString());
      return GgufValue(text);
    }
    case GgufType::kArray:
      break;
  }
  return base::Fail(Code::kDataLoss, "a value has no known type: the file is damaged");
}

template <typename Stored, typename List>
base::Result<GgufValue> GgufCursor::ReadNumbers(std::uint64_t count) {
  if (count > left() / sizeof(Stored)) return CutOff();
  List list;
  list.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Stored value = *Read<Stored>();
    if constexpr (std::is_same_v<Stored, std::uint64_t>) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return base::Fail(Code::kDataLoss, "an array holds a number that is too large");
      }
    }
    list.push_back(static_cast<typename List::value_type>(value));
  }
  return GgufValue(std::move(list));
}

base::Result<GgufValue> GgufCursor::ReadArray() {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint32_t type, Read<std::uint32_t>());
  CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t count, Read<std::uint64_t>());
  switch (static_cast<GgufType>(type)) {
    case GgufType::kUint8:
    case GgufType::kBool:
      return ReadNumbers<std::uint8_t, GgufIntegers>(count);
    case GgufType::kInt8:
      return ReadNumbers<std::int8_t, GgufIntegers>(count);
    case GgufType::kUint16:
      return ReadNumbers<std::uint16_t, GgufIntegers>(count);
    case GgufType::kInt16:
      return ReadNumbers<std::int16_t, GgufIntegers>(count);
    case GgufType::kUint32:
      return ReadNumbers<std::uint32_t, GgufIntegers>(count);
    case GgufType::kInt32:
      return ReadNumbers<std::int32_t, GgufIntegers>(count);
    case GgufType::kUint64:
      return ReadNumbers<std::uint64_t, GgufIntegers>(count);
    case GgufType::kInt64:
      return ReadNumbers<std::int64_t, GgufIntegers>(count);
    case GgufType::kFloat32:
      return ReadNumbers<float, GgufFloats>(count);
    case GgufType::kFloat64:
      return ReadNumbers<double, GgufFloats>(count);
    case GgufType::kString: {
      if (count > left() / sizeof(std::uint64_t)) return CutOff();
      GgufStrings strings;
      strings.reserve(count);
      for (std::uint64_t i = 0; i < count; ++i) {
        CLOISTER_ASSIGN_OR_RETURN(const std::string_view text, ReadString());
        strings.push_back(text);
      }
      return GgufValue(std::move(strings));
    }
    case GgufType::kArray:
      break;
  }
  return base::Fail(Code::kDataLoss, "an array has no known element type: the file is damaged");
}

}  // namespace cloister::model
