#include "dp/ledger/registration.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace cloister::dp {
namespace {

// As a person writes it: 16, 0.5, 1e-05.
std::string Shortest(double value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

// A set with a shared unit that has spent.
struct Spender {
  DataSetRow row;
  bool divided_anew = false;
};

base::Result<std::vector<Spender>> SpendersOf(const Database& database,
                                              std::span<const Overlap> overlapping) {
  std::vector<Spender> spenders;
  for (const auto& [id, divided_anew] : overlapping) {
    CLOISTER_ASSIGN_OR_RETURN(const bool has_spent, HasSpent(database, id));
    if (!has_spent) continue;
    CLOISTER_ASSIGN_OR_RETURN(std::optional<DataSetRow> row, FindDataSet(database, id));
    if (row) spenders.push_back({*std::move(row), divided_anew});
  }
  return spenders;
}

base::Status CheckComposes(const Spender& spender, const DataSetRow& asked,
                           const std::string& what) {
  const DataSetRow& row = spender.row;
  if (row.unit != asked.unit || row.neighbours != asked.neighbours) {
    return base::Fail(
        base::Code::kInvalidArgument,
        what + " shares units with one that has spent as " + std::string(UnitName(row.unit)) +
            ", " + std::string(NeighboursName(row.neighbours)) +
            ": spends of two kinds do not compose; name the same privacy unit and neighbour "
            "relation, or take other data");
  }
  if (spender.divided_anew) {
    return base::Fail(base::Code::kInvalidArgument,
                      what + " has records that were spent on as another " +
                          std::string(UnitName(row.unit)) +
                          "'s: what is one unit here was several there, or the other way, and such "
                          "spends do not compose; name each record's unit as before, take out "
                          "records that another one has in the same words, or take other data");
  }
  return {};
}

base::Status CheckBudget(const DataSetRow& row, const DataSetRow& asked, const std::string& what) {
  if (asked.budget.epsilon <= row.budget.epsilon && asked.budget.delta <= row.budget.delta) {
    return {};
  }
  return base::Fail(base::Code::kPermissionDenied,
                    what + " asks for a budget above the epsilon " + Shortest(row.budget.epsilon) +
                        " at delta " + Shortest(row.budget.delta) +
                        " that its units were registered with before something was spent on them: "
                        "a budget cannot be raised after");
}

}  // namespace

base::Result<Admission> Admit(const Database& database, const DataSetRow& asked,
                              const std::optional<DataSetRow>& known,
                              std::span<const Overlap> overlapping, const std::string& name) {
  const std::string what = "data set '" + name + "'";
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<Spender> spenders, SpendersOf(database, overlapping));
  for (const Spender& spender : spenders) {
    CLOISTER_RETURN_IF_ERROR(CheckComposes(spender, asked, what));
    CLOISTER_RETURN_IF_ERROR(CheckBudget(spender.row, asked, what));
  }
  CLOISTER_ASSIGN_OR_RETURN(const bool own, HasSpent(database, asked.id));
  if (known && own) CLOISTER_RETURN_IF_ERROR(CheckBudget(*known, asked, what));
  const bool anew =
      known && !own &&
      (known->budget.epsilon != asked.budget.epsilon || known->budget.delta != asked.budget.delta);
  return Admission{anew};
}

base::Result<PrivacyBudget> BudgetInForce(const Database& database, const DataSetRow& row,
                                          const std::optional<PrivacyBudget>& asked) {
  PrivacyBudget budget = row.budget;
  const auto bind = [&](const PrivacyBudget& other) {
    budget.epsilon = std::min(budget.epsilon, other.epsilon);
    budget.delta = std::min(budget.delta, other.delta);
  };
  if (asked) bind(*asked);
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<Overlap> overlapping, OverlapsOf(database, row.id));
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<Spender> spenders, SpendersOf(database, overlapping));
  for (const Spender& spender : spenders) {
    CLOISTER_RETURN_IF_ERROR(CheckComposes(spender, row, "data set " + row.id.substr(0, 12)));
    bind(spender.row.budget);
  }
  return budget;
}

}  // namespace cloister::dp
