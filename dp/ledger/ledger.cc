#include "dp/ledger/ledger.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <system_error>

#include "dp/accounting/accountant.h"
#include "dp/accounting/rdp_conversion.h"
#include "dp/ledger/byte_view.h"
#include "dp/ledger/ledger_files.h"
#include "dp/ledger/ledger_store.h"
#include "dp/ledger/rdp_filter.h"
#include "dp/ledger/refusal.h"
#include "dp/ledger/registration.h"
#include "dp/ledger/seal.h"
#include "dp/ledger/spent_events.h"
#include "dp/ledger/unit_store.h"
#include "security/primitives.h"

namespace cloister::dp {
namespace {

constexpr std::size_t kLongestText = 1024;

tl::unexpected<base::Error> Wrong(const std::string& what) {
  return base::Fail(base::Code::kInvalidArgument, what);
}

base::Status ValidateRegistration(const std::string& name, Neighbours neighbours,
                                  PrivacyBudget budget) {
  if (name.empty() || name.size() > kLongestText) {
    return Wrong("name of the data set, privacy ledger: give 1 to 1024 bytes");
  }
  if (!(budget.epsilon > 0 && budget.epsilon <= 1e6)) {
    return Wrong("budget of data set '" + name + "', epsilon: give a number above 0, at most 1e6");
  }
  if (!(budget.delta > 0 && budget.delta < 1)) {
    return Wrong("budget of data set '" + name + "', delta: give a number between 0 and 1");
  }
  return CheckRdpCovers(neighbours);
}

base::Status ValidateSpend(const Spend& spend, const DataSetRow& data_set) {
  if (spend.key.job.empty() || spend.key.job.size() > kLongestText || spend.key.round < 0 ||
      spend.key.attempt < 0) {
    return Wrong(
        "spend key, privacy ledger: give a job of 1 to 1024 bytes and a round and attempt "
        "that are not negative");
  }
  for (const Event* event :
       {&spend.event, spend.own_noise_only ? &*spend.own_noise_only : nullptr}) {
    if (event == nullptr) continue;
    CLOISTER_RETURN_IF_ERROR(Validate(*event));
    CLOISTER_RETURN_IF_ERROR(CheckRdpCovers(*event));
    if (event->neighbours != data_set.neighbours) {
      return Wrong("event under " + std::string(NeighboursName(event->neighbours)) +
                   ", data set registered under " +
                   std::string(NeighboursName(data_set.neighbours)) +
                   ": neighbour relations never mix");
    }
  }
  return {};
}

// Keys out of the one beside the ledger.
struct LedgerKeys {
  explicit LedgerKeys(const security::SecretBytes& key)
      : units(key.bytes()),
        blocks(BlocksKey(key)),
        sealing(security::Hkdf(key, ByteView("cloister ledger"), ByteView("sealing"), 32)) {}

  security::HmacSha256Key units;   // of the hashes of units
  security::HmacSha256Key blocks;  // of the codes of what is stored of them
  security::SecretBytes sealing;   // of the keys of jobs

 private:
  static security::Sha256Digest BlocksKey(const security::SecretBytes& key) {
    return security::HmacSha256(key.bytes(), ByteView("cloister ledger unit blocks"));
  }
};

class SqliteLedger final : public Ledger {
 public:
  SqliteLedger(Database database, const security::SecretBytes& key, bool for_writing)
      : for_writing_(for_writing), keys_(key), seal_(key), database_(std::move(database)) {}

  // Everything that the ledger says, the units of its data sets included.
  base::Status Verify() {
    CLOISTER_ASSIGN_OR_RETURN(const Transaction snapshot, BeginReading());
    return VerifyUnits(database_, keys_.blocks);
  }

  base::Result<std::string> RegisterDataSet(const std::string& name, const UnitSource& units,
                                            PrivacyUnit unit, Neighbours neighbours,
                                            PrivacyBudget budget) override {
    CLOISTER_RETURN_IF_ERROR(CheckWritable());
    CLOISTER_RETURN_IF_ERROR(ValidateRegistration(name, neighbours, budget));
    CLOISTER_ASSIGN_OR_RETURN(const UnitSet set, UnitSet::Read(units, keys_.units));
    if (set.hashes().empty()) {
      return Wrong("data set '" + name + "' has no privacy units: nothing can be learned from it");
    }
    const DataSetRow asked{set.Id(unit, neighbours), unit, neighbours, budget};
    CLOISTER_ASSIGN_OR_RETURN(Transaction transaction, BeginWriting());
    CLOISTER_ASSIGN_OR_RETURN(const auto known, FindDataSet(database_, asked.id));
    CLOISTER_ASSIGN_OR_RETURN(
        const std::vector<Overlap> overlapping,
        known ? OverlapsOf(database_, asked.id) : SetsSharing(database_, keys_.blocks, set));
    CLOISTER_ASSIGN_OR_RETURN(const Admission admission,
                              Admit(database_, asked, known, overlapping, name));
    if (!known) {
      const auto count = static_cast<std::int64_t>(set.hashes().size());
      CLOISTER_RETURN_IF_ERROR(InsertDataSet(database_, seal_, asked, name, count, overlapping));
      CLOISTER_RETURN_IF_ERROR(InsertUnits(database_, keys_.blocks, asked.id, set));
    } else if (admission.anew) {
      CLOISTER_RETURN_IF_ERROR(InsertBudget(database_, seal_, asked.id, asked.budget));
    }
    CLOISTER_RETURN_IF_ERROR(transaction.Commit());
    asked_[asked.id] = budget;
    return asked.id;
  }

  base::Status CheckAffordable(const std::string& data_set, const Event& planned) override {
    CLOISTER_ASSIGN_OR_RETURN(const Transaction snapshot, BeginReading());
    CLOISTER_RETURN_IF_ERROR(CheckSpend(data_set, Spend{{"plan", 0, 0}, planned, std::nullopt}));
    return {};
  }

  base::Status Debit(const std::string& data_set, const Spend& spend) override {
    CLOISTER_ASSIGN_OR_RETURN(Transaction transaction, BeginWriting());
    CLOISTER_ASSIGN_OR_RETURN(const bool spent, HasSpend(database_, data_set, spend.key));
    if (spent) {
      return base::Fail(base::Code::kAlreadyExists,
                        "round " + std::to_string(spend.key.round) + ", attempt " +
                            std::to_string(spend.key.attempt) + " of job " + spend.key.job +
                            " is spent already, privacy ledger " + database_.where() +
                            ": one draw is released once");
    }
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<double> orders, CheckSpend(data_set, spend));
    CLOISTER_RETURN_IF_ERROR(RecordOrders(database_, seal_, data_set, orders));
    CLOISTER_RETURN_IF_ERROR(InsertSpend(database_, seal_, data_set, spend));
    return transaction.Commit();
  }

  base::Status RecordStep(const std::string& data_set, const std::string& job,
                          const ReleasedStep& released) override {
    CLOISTER_ASSIGN_OR_RETURN(Transaction transaction, BeginWriting());
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<Event> paid,
                              spent_.Read(database_, {data_set, job}));
    if (paid.empty()) {
      return base::Fail(base::Code::kFailedPrecondition,
                        "job " + job + " has spent nothing on this data, privacy ledger " +
                            database_.where() + ": debit its spend before its first step");
    }
    CLOISTER_ASSIGN_OR_RETURN(const RecordedStep last, ReadStep(database_, job));
    const auto refused = [&](const std::string& why) {
      return base::Fail(base::Code::kAlreadyExists,
                        "step " + std::to_string(released.step) + " of job " + job + " " + why +
                            ", privacy ledger " + database_.where() +
                            ": go on from the state of the last released one");
    };
    if (released.step <= last.step) {
      return refused("was released already, as were all up to step " + std::to_string(last.step));
    }
    if (std::ranges::find(released.follows, last.mark) == released.follows.end()) {
      return refused("does not follow on step " + std::to_string(last.step) +
                     " as another copy of this run released it");
    }
    CLOISTER_RETURN_IF_ERROR(WriteStep(database_, seal_, job, {released.step, released.mark}));
    return transaction.Commit();
  }

  base::Result<std::int64_t> LastStep(const std::string& job) const override {
    CLOISTER_RETURN_IF_ERROR(CheckWritable());
    CLOISTER_ASSIGN_OR_RETURN(const Transaction snapshot, BeginReading());
    CLOISTER_ASSIGN_OR_RETURN(const RecordedStep last, ReadStep(database_, job));
    return last.step;
  }

  base::Result<security::SecretBytes> SealingKey(const std::string& job) const override {
    CLOISTER_RETURN_IF_ERROR(CheckWritable());
    return security::Hkdf(keys_.sealing, {}, ByteView(job), 32);
  }

  base::Result<std::vector<Row>> Rows() const override {
    CLOISTER_ASSIGN_OR_RETURN(const Transaction snapshot, BeginReading());
    return Spends(database_);
  }
  base::Result<std::vector<Row>> RowsOfJob(const std::string& job) const override {
    CLOISTER_ASSIGN_OR_RETURN(const Transaction snapshot, BeginReading());
    return Spends(database_, job);
  }

  base::Result<Total> Spent(const std::string& data_set) const override {
    CLOISTER_ASSIGN_OR_RETURN(const Transaction snapshot, BeginReading());
    CLOISTER_ASSIGN_OR_RETURN(const DataSetRow row, Find(data_set));
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<Event> counted,
                              spent_.Read(database_, {data_set, {}}));
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<Event> own,
                              spent_.Read(database_, {data_set, {}, WhichEvent::kOwnNoiseOnly}));
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<double> orders, FilterOrders(database_, data_set));
    // Where other sets' spends bind, theirs; of a set that may not spend beside them, its own.
    const base::Result<PrivacyBudget> binding = BudgetInForce(database_, row, std::nullopt);
    if (!binding && binding.error().code != base::Code::kInvalidArgument) {
      return tl::unexpected(binding.error());
    }
    const PrivacyBudget budget = binding.value_or(row.budget);
    Total total;
    total.delta = budget.delta;
    total.budget = budget.epsilon;
    total.epsilon = FilterEpsilon(counted, orders, total.delta);
    // A part of the noise is never the better bound, whatever an event says.
    total.epsilon_own_noise = std::max(FilterEpsilon(own, orders, total.delta), total.epsilon);
    total.releases = ReleasesOf(counted);
    total.share = FilterShare(counted, orders, budget);
    return total;
  }

  base::Result<Total> SpentByJob(const std::string& data_set, const std::string& job,
                                 double delta) const override {
    CLOISTER_ASSIGN_OR_RETURN(const Transaction snapshot, BeginReading());
    CLOISTER_ASSIGN_OR_RETURN(const DataSetRow row, Find(data_set));
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<Event> counted,
                              spent_.Read(database_, {row.id, job}));
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<Event> own,
                              spent_.Read(database_, {row.id, job, WhichEvent::kOwnNoiseOnly}));
    Total total;
    total.delta = delta;
    total.budget = row.budget.epsilon;
    CLOISTER_ASSIGN_OR_RETURN(total.epsilon, EpsilonOrZero(counted, delta));
    total.epsilon_own_noise = total.epsilon;
    if (own != counted) {
      CLOISTER_ASSIGN_OR_RETURN(total.epsilon_own_noise, EpsilonOrZero(own, delta));
    }
    total.releases = ReleasesOf(counted);
    return total;
  }

 private:
  static base::Result<double> EpsilonOrZero(std::span<const Event> events, double delta) {
    if (events.empty()) return 0.0;
    return PlanEpsilon(events, delta);
  }

  static std::int64_t ReleasesOf(std::span<const Event> events) {
    std::int64_t releases = 0;
    for (const Event& event : events) releases += event.steps;
    return releases;
  }

  // Of a state of the ledger that the seal was found on.
  base::Result<Transaction> BeginWriting() {
    CLOISTER_RETURN_IF_ERROR(CheckWritable());
    return Sealed(Transaction::Begin(database_));
  }
  base::Result<Transaction> BeginReading() const {
    return Sealed(Transaction::BeginReading(database_));
  }
  base::Result<Transaction> Sealed(base::Result<Transaction> begun) const {
    if (begun) CLOISTER_RETURN_IF_ERROR(seal_.Verify(database_));
    return begun;
  }

  base::Status CheckWritable() const {
    if (for_writing_) return {};
    return base::Fail(
        base::Code::kFailedPrecondition,
        "privacy ledger was opened for looking, " + database_.where() + ": open it for writing");
  }

  base::Result<DataSetRow> Find(const std::string& id) const {
    CLOISTER_ASSIGN_OR_RETURN(std::optional<DataSetRow> row, FindDataSet(database_, id));
    if (row) return *std::move(row);
    return base::Fail(base::Code::kNotFound, "no data set " + id.substr(0, 64) +
                                                 ", privacy ledger " + database_.where() +
                                                 ": register it first");
  }

  // The orders under which `spend` beside all that touches the data set stays in budget.
  base::Result<std::vector<double>> CheckSpend(const std::string& data_set, const Spend& spend) {
    CLOISTER_ASSIGN_OR_RETURN(const DataSetRow row, Find(data_set));
    CLOISTER_RETURN_IF_ERROR(ValidateSpend(spend, row));
    // What was asked when this process registered the set may be less than what the ledger has, or
    // more, where another process registered it anew since.
    const auto asked = asked_.find(data_set);
    CLOISTER_ASSIGN_OR_RETURN(
        const PrivacyBudget budget,
        BudgetInForce(database_, row,
                      asked == asked_.end() ? std::nullopt : std::optional(asked->second)));
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<Event> spent,
                              spent_.Read(database_, {data_set, {}}));
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<double> fixed, FilterOrders(database_, data_set));
    return CheckBeside(spent, spend.event, fixed, budget);
  }

  bool for_writing_;
  LedgerKeys keys_;
  mutable Seal seal_;  // what was verified, kept
  Database database_;
  mutable SpentEvents spent_;  // what was read, kept
  std::map<std::string, PrivacyBudget> asked_;
};

}  // namespace

base::Result<std::string> Ledger::RegisterDataSet(const std::string& name,
                                                  std::span<const std::string> units,
                                                  PrivacyUnit unit, Neighbours neighbours,
                                                  PrivacyBudget budget) {
  std::size_t next = 0;
  const UnitSource source = [&]() -> base::Result<std::optional<UnitKey>> {
    if (next == units.size()) return std::nullopt;
    return UnitKey{units[next++], {}};
  };
  return RegisterDataSet(name, source, unit, neighbours, budget);
}

namespace {

base::Result<std::unique_ptr<Ledger>> Verified(Database database, const security::SecretBytes& key,
                                               bool for_writing) {
  auto ledger = std::make_unique<SqliteLedger>(std::move(database), key, for_writing);
  CLOISTER_RETURN_IF_ERROR(ledger->Verify());
  return std::unique_ptr<Ledger>(std::move(ledger));
}

}  // namespace

base::Result<std::unique_ptr<Ledger>> Ledger::Open(const std::filesystem::path& path) {
  std::error_code ignored;  // what stands in the way is named by who wants the folder
  std::filesystem::create_directories(std::filesystem::absolute(path).parent_path(), ignored);
  // One process at a time makes a ledger or completes a half-made one.
  CLOISTER_ASSIGN_OR_RETURN(const FileLock lock, FileLock::Take(path.string() + ".lock"));
  CLOISTER_ASSIGN_OR_RETURN(security::SecretBytes key, ReadKeyOrCreate(path));
  CLOISTER_ASSIGN_OR_RETURN(Database database, OpenForWriting(path, key));
  return Verified(std::move(database), key, /*for_writing=*/true);
}

base::Result<std::unique_ptr<Ledger>> Ledger::OpenReadOnly(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(security::SecretBytes key, ReadKey(path));
  CLOISTER_ASSIGN_OR_RETURN(Database database, OpenForReading(path, key));
  return Verified(std::move(database), key, /*for_writing=*/false);
}

}  // namespace cloister::dp
