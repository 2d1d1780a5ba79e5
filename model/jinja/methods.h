#pragma once

#include <string_view>

#include "model/jinja/runtime.h"

namespace cloister::model::jinja {

// Python's methods by name, null for a name that the type does not have here.
Operation FindStringMethod(std::string_view name);
Operation FindSequenceMethod(std::string_view name);  // of lists, tuples and ranges
Operation FindDictMethod(std::string_view name);
Operation FindNumberMethod(std::string_view name);

// Methods of lists and dicts that would change them.
bool ChangesList(std::string_view name);
bool ChangesDict(std::string_view name);

// dict.fromkeys
base::Result<Value> DictFromKeys(Runtime& runtime, const Value& self, Arguments& arguments);

// Looks a name up in a table of {name, operation} that is sorted by name.
struct NamedOperation {
  std::string_view name;
  Operation operation;
};
template <std::size_t size>
Operation FindOperation(const NamedOperation (&table)[size], std::string_view name) {
  std::size_t low = 0, high = size;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (table[middle].name < name) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < size && table[low].name == name ? table[low].operation : nullptr;
}
template <std::size_t size>
constexpr bool IsSorted(const NamedOperation (&table)[size]) {
  for (std::size_t i = 1; i < size; ++i) {
    if (!(table[i - 1].name < table[i].name)) return false;
  }
  return true;
}

}  // namespace cloister::model::jinja
