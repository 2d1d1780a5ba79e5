#include "model/gguf/gguf_cursor.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

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
  if (static_cast<GgufType>(type) == GgufType::kArray) return ReadArray(1);
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

base::Result<std::uint64_t> GgufCursor::ReadCount(std::uint64_t bytes) {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t count, Read<std::uint64_t>());
  if (count > left() / bytes) return CutOff();
  if (count > elements_left_) {
    return base::Fail(Code::kDataLoss, "its arrays hold more than " + std::to_string(kMaxElements) +
                                           " elements: the file is damaged");
  }
  elements_left_ -= count;
  return count;
}

template <typename Stored, typename List>
base::Result<GgufValue> GgufCursor::ReadNumbers() {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t count, ReadCount(sizeof(Stored)));
  List list(count);
  for (typename List::value_type& value : list) {
    value = static_cast<typename List::value_type>(+*Read<Stored>());
  }
  return GgufValue(std::move(list));
}

namespace {

bool FitsSigned(std::uint64_t number) {
  return number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
}

}  // namespace

base::Result<GgufValue> GgufCursor::ReadLargeNumbers() {
  CLOISTER_ASSIGN_OR_RETURN(GgufValue value, (ReadNumbers<std::uint64_t, GgufUnsigned>()));
  const auto& numbers = std::get<GgufUnsigned>(value);
  if (!std::all_of(numbers.begin(), numbers.end(), FitsSigned)) return value;
  return GgufValue(GgufIntegers(numbers.begin(), numbers.end()));
}

base::Result<GgufValue> GgufCursor::ReadStrings() {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t count, ReadCount(sizeof(std::uint64_t)));
  GgufStrings strings;
  strings.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    CLOISTER_ASSIGN_OR_RETURN(const std::string_view text, ReadString());
    strings.push_back(text);
  }
  return GgufValue(std::move(strings));
}

base::Result<GgufValue> GgufCursor::ReadNested(int depth) {
  if (depth > kMaxDepth) {
    return base::Fail(Code::kDataLoss, "arrays lie in arrays too deeply: the file is damaged");
  }
  constexpr std::uint64_t kHead = sizeof(std::uint32_t) + sizeof(std::uint64_t);
  CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t count, ReadCount(kHead));
  auto nested = std::make_shared<GgufNested>();
  for (std::uint64_t i = 0; i < count; ++i) {
    CLOISTER_ASSIGN_OR_RETURN(GgufValue array, ReadArray(depth + 1));
    nested->arrays.push_back(std::move(array));
  }
  return GgufValue(std::shared_ptr<const GgufNested>(std::move(nested)));
}

base::Result<GgufValue> GgufCursor::ReadArray(int depth) {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint32_t type, Read<std::uint32_t>());
  switch (static_cast<GgufType>(type)) {
    case GgufType::kUint8:
    case GgufType::kBool:
      return ReadNumbers<std::uint8_t, GgufIntegers>();
    case GgufType::kInt8:
      return ReadNumbers<std::int8_t, GgufIntegers>();
    case GgufType::kUint16:
      return ReadNumbers<std::uint16_t, GgufIntegers>();
    case GgufType::kInt16:
      return ReadNumbers<std::int16_t, GgufIntegers>();
    case GgufType::kUint32:
      return ReadNumbers<std::uint32_t, GgufIntegers>();
    case GgufType::kInt32:
      return ReadNumbers<std::int32_t, GgufIntegers>();
    case GgufType::kUint64:
      return ReadLargeNumbers();
    case GgufType::kInt64:
      return ReadNumbers<std::int64_t, GgufIntegers>();
    case GgufType::kFloat32:
      return ReadNumbers<float, GgufFloats>();
    case GgufType::kFloat64:
      return ReadNumbers<double, GgufFloats>();
    case GgufType::kString:
      return ReadStrings();
    case GgufType::kArray:
      return ReadNested(depth);
  }
  return base::Fail(Code::kDataLoss, "an array has no known element type: the file is damaged");
}

}  // namespace cloister::model
