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

base::Status CheckKind(const DataSetRow& row, const DataSetRow& asked, const std::string& name) {
  if (row.unit == asked.unit && row.neighbours == asked.neighbours) return {};
  return base::Fail(
      base::Code::kInvalidArgument,
      "data set '" + name + "' shares units with one registered as " +
          std::string(UnitName(row.unit)) + ", " + std::string(NeighboursName(row.neighbours)) +
          ": spends of two kinds do not compose; name the same privacy unit and neighbour "
          "relation, or take other data");
}

base::Status CheckBudget(const DataSetRow& row, const DataSetRow& asked, const std::string& name) {
  if (asked.budget.epsilon <= row.budget.epsilon && asked.budget.delta <= row.budget.delta) {
    return {};
  }
  return base::Fail(base::Code::kPermissionDenied,
                    "data set '" + name + "' asks for a budget above the epsilon " +
                        Shortest(row.budget.epsilon) + " at delta " + Shortest(row.budget.delta) +
                        " that its units were registered with before something was spent on them: "
                        "a budget cannot be raised after");
}

}  // namespace

base::Result<Admission> Admit(const Database& database, const DataSetRow& asked,
                              const std::optional<DataSetRow>& known,
                              std::span<const DataSetRow> overlapping, const std::string& name) {
  std::vector<DataSetRow> spent;
  if (known) CLOISTER_RETURN_IF_ERROR(CheckKind(*known, asked, name));
  for (const DataSetRow& other : overlapping) {
    CLOISTER_RETURN_IF_ERROR(CheckKind(other, asked, name));
    CLOISTER_ASSIGN_OR_RETURN(const bool has_spent, HasSpent(database, other.id));
    if (has_spent) spent.push_back(other);
  }
  CLOISTER_ASSIGN_OR_RETURN(const bool own, HasSpent(database, asked.id));
  if (known && own) spent.push_back(*known);
  for (const DataSetRow& row : spent) CLOISTER_RETURN_IF_ERROR(CheckBudget(row, asked, name));
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
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::string> others, OverlapsOf(database, row.id));
  for (const std::string& id : others) {
    CLOISTER_ASSIGN_OR_RETURN(const bool has_spent, HasSpent(database, id));
    if (!has_spent) continue;
    CLOISTER_ASSIGN_OR_RETURN(const std::optional<DataSetRow> other, FindDataSet(database, id));
    if (other) bind(other->budget);
  }
  return budget;
}

}  // namespace cloister::dp
