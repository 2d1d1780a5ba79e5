#pragma once

#include <span>
#include <string_view>

#include "model/jinja/operation.h"

namespace cloister::model::jinja {

// Operations by name, sorted by it.
struct NamedOperation {
  std::string_view name;
  Operation operation;
};
using Operations = std::span<const NamedOperation>;
// Null for a name that is not among them.
Operation FindOperation(Operations operations, std::string_view name);

// Python's methods.
Operations StringMethods();
Operations SequenceMethods();  // of lists, tuples and ranges
Operations DictMethods();
Operations NumberMethods();

// Methods of lists and dicts that would change them.
bool ChangesList(std::string_view name);
bool ChangesDict(std::string_view name);

// dict.fromkeys
base::Result<Value> DictFromKeys(Runtime& runtime, const Value& self, Arguments& arguments);

template <std::size_t size>
constexpr bool IsSorted(const NamedOperation (&table)[size]) {
  for (std::size_t i = 1; i < size; ++i) {
    if (!(table[i - 1].name < table[i].name)) return false;
  }
  return true;
}

}  // namespace cloister::model::jinja
