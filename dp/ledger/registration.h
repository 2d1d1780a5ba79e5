#pragma once

// Inside dp/ledger/ only: what a data set may be registered as, and which budget binds it.
//
// A budget is a promise from the first spend on. Until something was spent on a data set or on one
// that it shares a unit with, no release was made under any promise about its units: it may be
// registered anew with another budget, so that a job that was refused, or never came to spend,
// decides nothing for later ones. After, no registration asks for more than the set itself has, nor
// than any set with a shared unit has that spent itself. A set that never spent may so be left with
// a smaller budget beside one with a larger one; when it spends, its budget binds the others'
// further spends as well.

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

// `known`: the earlier registration of this very set. `overlapping`: sets that share a unit.
// kInvalidArgument where one of them is of another privacy unit or neighbour relation,
// kPermissionDenied for a larger budget where one binds.
base::Result<Admission> Admit(const Database& database, const DataSetRow& asked,
                              const std::optional<DataSetRow>& known,
                              std::span<const DataSetRow> overlapping, const std::string& name);

// What spends on the data set and on all that share a unit with it have to stay within when it
// spends: the least of its own, of `asked`, and of the budgets of sets with a shared unit that have
// spent. For each unit of any of these sets no more is counted than that.
base::Result<PrivacyBudget> BudgetInForce(const Database& database, const DataSetRow& row,
                                          const std::optional<PrivacyBudget>& asked);

}  // namespace cloister::dp
