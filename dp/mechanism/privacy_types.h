#pragma once

#include <string_view>

#include "base/result.h"

namespace cloister::dp {

// What one individual's data is. A value without a default: every recipe says it.
enum class PrivacyUnit { kRecord, kUser };

// When two data sets are neighbours. add-or-remove-one: one is the other with one unit more.
// replace-one: one unit differs. zero-out: one unit's contribution is empty. Never mixed silently.
enum class Neighbours { kAddOrRemoveOne, kAdd, kRemove, kReplaceOne, kZeroOut };

std::string_view UnitName(PrivacyUnit unit);           // "record", "user"
std::string_view NeighboursName(Neighbours relation);  // "add-or-remove-one", …
base::Result<PrivacyUnit> ParseUnit(std::string_view name);
base::Result<Neighbours> ParseNeighbours(std::string_view name);

}  // namespace cloister::dp
