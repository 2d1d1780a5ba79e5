#include "model/jinja/operation.h"

namespace cloister::model::jinja {
namespace {

std::uint64_t StepsForBytes(std::uint64_t bytes, Price price) {
  switch (price) {
    case Price::kConstant:
      return 0;
    case Price::kLookThrough:
      return bytes / Heap::kBytesSeenAStep;
    case Price::kProperties:
      return bytes / 2;
    case Price::kCaseMapping:
      return bytes;
  }
  return bytes;
}

}  // namespace

std::uint64_t StepsThrough(const Value& value, Price price) {
  if (price == Price::kConstant) return 0;
  switch (value.kind()) {
    case Kind::kString:
      return StepsForBytes(Text(value).size(), price);
    case Kind::kList:
    case Kind::kTuple:
      return Items(value).size();
    case Kind::kDict:
      return value.as<Dict>().entries().size();
    case Kind::kView:
      return value.as<View>().dict().entries().size();
    case Kind::kRange:
      return static_cast<std::uint64_t>(value.as<Range>().length());
    case Kind::kNamespace:
      return value.as<Namespace>().attributes().size();
    default:
      return 0;
  }
}

base::Status Pay(Heap& heap, const Value& self, const Arguments& arguments, Price price) {
  std::uint64_t steps = arguments.positional.size() + arguments.named.size();
  steps += StepsThrough(self, price);
  for (const Value& value : arguments.positional) steps += StepsThrough(value, price);
  for (const auto& [name, value] : arguments.named) steps += StepsThrough(value, price);
  heap.Spend(steps);
  return heap.Check();
}

}  // namespace cloister::model::jinja
