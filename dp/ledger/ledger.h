#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/event.h"
#include "dp/mechanism/privacy_types.h"
#include "security/secret_bytes.h"

namespace cloister::dp {

// What one data set may spend in all, over every job there will ever be.
struct PrivacyBudget {
  double epsilon = 0;
  double delta = 0;
};

// Where a spend belongs. One draw of units is one spend: the same key twice is refused, also on
// another data set that shares a unit.
struct SpendKey {
  std::string job;  // hash of the signed job, or a run's id
  std::int64_t round = 0;
  std::int64_t attempt = 0;
};

struct Spend {
  SpendKey key;
  Event event;                          // what counts against the budget
  std::optional<Event> own_noise_only;  // with this holder's noise alone (secure aggregation)
};

// Names the state that a step was released from: random, and of no other step or copy.
using StepMark = std::array<std::uint8_t, 16>;

// A step of a spend that covers many (a matrix mechanism's).
struct ReleasedStep {
  std::int64_t step = 0;  // from 1
  StepMark mark{};
  // Of the job's last recorded step as the state that releases this one knows it: either may be;
  // zeros where none was recorded.
  std::array<StepMark, 2> follows{};
};

// What a unit of a data set, or a part of one, is known by: two data sets with a key in common hold
// data of the same unit. `owner`, where units have parts (a user's records): whose part it is,
// itself a key of the data set. Empty: the key is of a whole unit.
struct UnitKey {
  std::string_view key;
  std::string_view owner;
};
// Gives the keys of a data set one after another, in any order; nothing after the last. Views have
// to live until the next call. A failure of the source becomes the registration's.
using UnitSource = std::function<base::Result<std::optional<UnitKey>>()>;

// Durable record of what was spent on the units of a data holder (SQLite, rollback journal,
// synchronous EXTRA, mode 0600). A data set is the set of keyed hashes (HMAC-SHA-256 under a key
// beside the ledger file, 16 bytes each) of its units' keys: one that shares a key with an earlier
// one inherits its spends, so a renamed, extended or trimmed file buys no fresh budget. Spends of
// sets that divide the same data into units in different ways do not compose, as what is one unit
// here is several there: such sets spend one or the other. Spends compose
// by an RDP filter, which stays valid when jobs are chosen after seeing earlier outputs (the
// argument and its sources are in dp/ledger/rdp_filter.h). Nothing is ever refunded.
//
// All that was committed is in LEDGER. Beside it stand LEDGER.key (32 random bytes, mode 0600, made
// with the ledger: to lose it is to lose the ledger) and LEDGER.lock, and while something is
// written, or after a crash then, LEDGER-journal, which the next opening plays back. A backup is a
// copy of LEDGER and LEDGER.key made while no job runs. One of ledger and key without the other, or
// a journal without its ledger, is kDataLoss: made anew, it would be a fresh budget. So is a ledger
// with a second name (symbolic or hard link), which would have another journal and lock.
//
// What the ledger says is sealed under its key (dp/ledger/seal.h), and each opening, for looking
// too, verifies the whole: a row that was changed, removed, added or reordered by who has not the
// key is kDataLoss, as is any file that is no sound ledger of this version. No seal can tell that
// the whole is older than what was: whoever puts back an earlier copy of the ledger gets back the
// budget of then, and no file of this machine can show it. Nor does it hold against whoever can
// read the key and write the file: who holds both can forge.
//
// Several processes may have a ledger open: each call sees and makes one state of it, so that
// concurrent jobs never overspend together; one that waits longer than half a minute for the others
// is told kUnavailable. Not thread-safe; not to be used on both sides of a fork.
class Ledger {
 public:
  // Makes what is not there, its folder too.
  static base::Result<std::unique_ptr<Ledger>> Open(const std::filesystem::path& path);
  // For looking: changes nothing that was committed; kFailedPrecondition for what would. Needs the
  // key as well. kNotFound when absent.
  static base::Result<std::unique_ptr<Ledger>> OpenReadOnly(const std::filesystem::path& path);
  virtual ~Ledger() = default;

  // Registers or finds the data set of these units; returns its id (hex, stable for the same set).
  // The budget is fixed by the first spend on it or on a set that it shares a unit with; until then
  // the last registration counts, so that a job that was refused decides nothing. After, to ask for
  // more than the set was registered with, or than a set with a shared unit that has spent, is
  // kPermissionDenied; to ask for less binds the debits of this object. Repeated keys count once.
  // kInvalidArgument where a key is shared with a set that has spent and is of another privacy unit
  // or neighbour relation, or knows a part of a unit, whose owners are none of those it has here.
  // Memory: 16 bytes a key, 32 one with an owner, and a few MiB, whatever the ledger holds.
  virtual base::Result<std::string> RegisterDataSet(const std::string& name,
                                                    const UnitSource& units, PrivacyUnit unit,
                                                    Neighbours neighbours,
                                                    PrivacyBudget budget) = 0;
  base::Result<std::string> RegisterDataSet(const std::string& name,
                                            std::span<const std::string> units, PrivacyUnit unit,
                                            Neighbours neighbours, PrivacyBudget budget);

  // Whether `planned` more would stay in the data set's budget: asked before a record is read.
  // kResourceExhausted otherwise: the error says how much is left and what would fit, fewer steps
  // or more noise. Beside other jobs it is no promise: Debit decides.
  virtual base::Status CheckAffordable(const std::string& data_set, const Event& planned) = 0;

  // Makes the spend durable. On return of success the release may happen; never before.
  // kResourceExhausted when it would pass the budget, or that of a set with a shared unit that has
  // spent; kInvalidArgument where such a set, as for RegisterDataSet, is one that this set's spends
  // do not compose with; kAlreadyExists for a key spent before; then nothing was written.
  virtual base::Status Debit(const std::string& data_set, const Spend& spend) = 0;

  // Makes durable that the job is about to release a step. On return of success the release may
  // happen; never before. kAlreadyExists unless the step is above the job's last one, on whatever
  // data set, and follows that very one: a released step is never executed again, and of two copies
  // of a state, or of a state and an older one, only one goes on, whichever process asks.
  // kFailedPrecondition for a job that has spent nothing on the data set.
  virtual base::Status RecordStep(const std::string& data_set, const std::string& job,
                                  const ReleasedStep& released) = 0;
  // The last step that the job recorded; 0 where none is. Of a ledger that is open for writing.
  virtual base::Result<std::int64_t> LastStep(const std::string& job) const = 0;

  // 32 bytes of the job's, out of the key beside the ledger: to seal what must not leave the
  // holder's hands with a checkpoint. kFailedPrecondition of a ledger opened for looking.
  virtual base::Result<security::SecretBytes> SealingKey(const std::string& job) const = 0;

  struct Row {
    std::string data_set;
    std::string name;
    Spend spend;
    std::string time;  // ISO 8601, UTC
  };
  // In the order in which they were debited: all, or a job's on whatever data set.
  virtual base::Result<std::vector<Row>> Rows() const = 0;
  virtual base::Result<std::vector<Row>> RowsOfJob(const std::string& job) const = 0;

  struct Total {
    double epsilon = 0;
    double epsilon_own_noise = 0;  // the same with own_noise_only where given, never less
    double delta = 0;
    std::int64_t releases = 0;  // whatever they cost: ε can be 0 where sampling is rare
    double budget = 0;          // ε in all that binds the data set's next spend
    double share = 0;           // of that budget that is used up, in proportion; Spent()'s alone
  };
  // Used so far, at the budget's delta: the running value of the filter, which is ε of every spend
  // on the data set and on those it shares a unit with, at the Rényi order that was fixed at the
  // first spend (the largest where sets of several orders meet); a later best order is never taken.
  // A spend passes as long as it leaves `epsilon` within the budget. What the filter proves is the
  // budget: all releases together keep it, however jobs were chosen. The running value says how
  // much of it is used up; where jobs were chosen after seeing outputs it is no bound of its own.
  virtual base::Result<Total> Spent(const std::string& data_set) const = 0;
  // Of the job's spends on the data set and on those it shares a unit with, as of one plan made
  // beforehand: the tight accountant's figure (accountant.h's kPld) at the delta that is given. It
  // may be far below what the filter has for the same spends.
  virtual base::Result<Total> SpentByJob(const std::string& data_set, const std::string& job,
                                         double delta) const = 0;
};

}  // namespace cloister::dp
