#include "dp/mechanism/privacy_types.h"

#include <array>
#include <string>
#include <utility>

#include "base/check.h"

namespace cloister::dp {
namespace {

constexpr std::array<std::pair<PrivacyUnit, std::string_view>, 2> kUnits = {{
    {PrivacyUnit::kRecord, "record"},
    {PrivacyUnit::kUser, "user"},
}};
constexpr std::array<std::pair<Neighbours, std::string_view>, 5> kRelations = {{
    {Neighbours::kAddOrRemoveOne, "add-or-remove-one"},
    {Neighbours::kAdd, "add"},
    {Neighbours::kRemove, "remove"},
    {Neighbours::kReplaceOne, "replace-one"},
    {Neighbours::kZeroOut, "zero-out"},
}};

template <typename Table, typename Value>
std::string_view NameOf(const Table& table, Value value) {
  for (const auto& [entry, name] : table) {
    if (entry == value) return name;
  }
  base::CheckFailed(__FILE__, __LINE__, "an enumerator without a name");
}

template <typename Value, typename Table>
base::Result<Value> Parse(const Table& table, std::string_view name, std::string_view what) {
  std::string known;
  for (const auto& [entry, entry_name] : table) {
    if (entry_name == name) return entry;
    known += (known.empty() ? "" : ", ") + std::string(entry_name);
  }
  return base::Fail(base::Code::kInvalidArgument, "'" + std::string(name.substr(0, 80)) +
                                                      "' is no " + std::string(what) +
                                                      ": use one of " + known);
}

}  // namespace

std::string_view UnitName(PrivacyUnit unit) { return NameOf(kUnits, unit); }

std::string_view NeighboursName(Neighbours relation) { return NameOf(kRelations, relation); }

base::Result<PrivacyUnit> ParseUnit(std::string_view name) {
  return Parse<PrivacyUnit>(kUnits, name, "privacy unit");
}

base::Result<Neighbours> ParseNeighbours(std::string_view name) {
  return Parse<Neighbours>(kRelations, name, "neighbour relation");
}

}  // namespace cloister::dp
