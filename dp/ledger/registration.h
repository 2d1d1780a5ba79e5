#pragma once

// Inside dp/ledger/ only: what a data set may be registered as, and what binds its spends.
//
// A registration is a promise from the first spend on. Until something was spent on a data set or
// on one that it shares a unit with, no release was made under any promise about its units: it may
// be registered anew with another budget, privacy unit or neighbour relation, so that a job that
// was refused, or never came to spend, decides nothing for later ones. After, no registration asks
// for more than the set itself has, nor than any set with a shared unit has that spent itself, and
// none whose spends do not compose with theirs is taken. A set that never spent may so be left with
// a smaller budget beside one with a larger one; when it spends, its budget binds the others'
// further spends as well, and so does its kind.

#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "dp/ledger/ledger_store.h"
#include "dp/ledger/sqlite.h"

namespace cloister::dp {

struct Admission {
  bool anew = false;  // registered before: its budget is to be replaced
};

// `known`: the earlier registration of this very set. `overlapping`: sets that share a unit. Of
// those that have spent binds what they are: kInvalidArgument where one is of another privacy unit
// or neighbour relation or divides the same data into other units, kPermissionDenied for a larger
// budget.
base::Result<Admission> Admit(const Database& database, const DataSetRow& asked,
                              const std::optional<DataSetRow>& known,
                              std::span<const Overlap> overlapping, const std::string& name);

// What spends on the data set and on all that share a unit with it have to stay within when it
// spends: the least of its own, of `asked`, and of the budgets of sets with a shared unit that have
// spent. For each unit of any of these sets no more is counted than that. kInvalidArgument, as
// above, where one of those is of another kind.
base::Result<PrivacyBudget> BudgetInForce(const Database& database, const DataSetRow& row,
                                          const std::optional<PrivacyBudget>& asked);

}  // namespace cloister::dp
