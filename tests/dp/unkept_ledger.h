#pragma once

#include <string>
#include <vector>

#include "dp/ledger/ledger.h"

namespace cloister::dp {

// Lets everything pass and keeps nothing: for spends that nobody should believe, and for as many
// that no budget pays.
class UnkeptLedger : public Ledger {
 public:
  base::Result<std::string> RegisterDataSet(const std::string& name, const UnitSource&, PrivacyUnit,
                                            Neighbours, PrivacyBudget) override {
    return name;
  }
  base::Status CheckAffordable(const std::string&, const Event&) override { return {}; }
  base::Status Debit(const std::string&, const Spend&) override { return {}; }
  base::Status RecordStep(const std::string&, const std::string&, const ReleasedStep&) override {
    return {};
  }
  base::Result<std::int64_t> LastStep(const std::string&) const override { return 0; }
  base::Result<security::SecretBytes> SealingKey(const std::string&) const override {
    return security::SecretBytes(32);
  }
  base::Result<std::vector<Row>> Rows() const override { return std::vector<Row>(); }
  base::Result<std::vector<Row>> RowsOfJob(const std::string&) const override { return Rows(); }
  base::Result<Total> Spent(const std::string&) const override { return Total(); }
  base::Result<Total> SpentByJob(const std::string&, const std::string&, double) const override {
    return Total();
  }
};

}  // namespace cloister::dp
