#include "model/jinja/json_input.h"

#include <limits>
#include <utility>

namespace cloister::model::jinja {
namespace {

using nlohmann::ordered_json;

base::Result<Value> Convert(Heap& heap, const ordered_json& json, int depth);

base::Result<Value> ConvertArray(Heap& heap, const ordered_json& json, int depth) {
  std::vector<Value> items;
  items.reserve(json.size());
  for (const ordered_json& item : json) {
    CLOISTER_ASSIGN_OR_RETURN(Value value, Convert(heap, item, depth + 1));
    items.push_back(std::move(value));
  }
  return MakeList(heap, std::move(items));
}

base::Result<Value> ConvertObject(Heap& heap, const ordered_json& json, int depth) {
  std::vector<Dict::Entry> entries;
  entries.reserve(json.size());
  for (const auto& item : json.items()) {
    CLOISTER_ASSIGN_OR_RETURN(Value value, Convert(heap, item.value(), depth + 1));
    entries.emplace_back(MakeString(heap, item.key()), std::move(value));
  }
  return Value(new Dict(heap, std::move(entries)));
}

base::Result<Value> Convert(Heap& heap, const ordered_json& json, int depth) {
  heap.NoteDepth(depth);
  heap.Spend(1);
  CLOISTER_RETURN_IF_ERROR(heap.Check());
  switch (json.type()) {
    case ordered_json::value_t::null:
      return Value::None();
    case ordered_json::value_t::boolean:
      return Value::Bool(json.get<bool>());
    case ordered_json::value_t::number_integer:
      return Value::Int(json.get<std::int64_t>());
    case ordered_json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return Value::Int(static_cast<std::int64_t>(number));
      }
      return Value(new BigInt(heap, number));
    }
    case ordered_json::value_t::number_float:
      return Value::Float(json.get<double>());
    case ordered_json::value_t::string:
      return MakeString(heap, json.get_ref<const std::string&>());
    case ordered_json::value_t::array:
      return ConvertArray(heap, json, depth);
    case ordered_json::value_t::object:
      return ConvertObject(heap, json, depth);
    default:
      return Fault("the input holds a value that is no JSON");
  }
}

}  // namespace

base::Result<Value> FromJson(Heap& heap, const ordered_json& json) {
  return Convert(heap, json, 0);
}

}  // namespace cloister::model::jinja
