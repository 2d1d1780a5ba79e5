#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/dp/failing_storage.h"
#include "tests/dp/ledger_fixture.h"

namespace cloister::dp {
namespace {

namespace fs = std::filesystem;

// A job in a child. It debits and releases, and says each release on a pipe before it goes on; at
// some moment it is stopped. What the pipe heard was used, and must be spent.
enum class Job {
  kDebitsFirst,
  kReleasesFirst,  // the broken variant: a noised value leaves before its debit
  // Debits once, for all, and has the ledger record each step.
  kRecordsFirst,
  kReleasesUnrecorded,  // the broken variant: a step's value leaves before it is recorded
};

bool OfSteps(Job job) { return job == Job::kRecordsFirst || job == Job::kReleasesUnrecorded; }
bool ReleasesTooSoon(Job job) {
  return job == Job::kReleasesFirst || job == Job::kReleasesUnrecorded;
}

constexpr std::int64_t kRounds = 3;
// Nothing is asked of the storage after the last debit.
constexpr std::int64_t kMostReleases = kRounds - 1;
constexpr int kNeverStopped = -1;

[[noreturn]] void RunJob(const fs::path& path, const Crash& crash, Job job, int releases) {
  InstallFailingStorage(crash);
  {
    auto ledger = Ledger::Open(path);
    if (!ledger) ::_exit(2);
    const auto id = TryRegister(**ledger, Units(0, 5));
    if (!id) ::_exit(3);
    if (OfSteps(job) && !(*ledger)->Debit(*id, SpendOf(0))) ::_exit(5);
    for (std::int64_t round = 0; round < kRounds; ++round) {
      const auto release = [&] {
        if (::write(releases, "r", 1) != 1) ::_exit(4);
      };
      if (ReleasesTooSoon(job)) release();
      const base::Status durable = OfSteps(job)
                                       ? (*ledger)->RecordStep(*id, "job", StepOf(round + 1))
                                       : (*ledger)->Debit(*id, SpendOf(round));
      if (!durable) ::_exit(5);
      if (!ReleasesTooSoon(job)) release();
    }
  }
  ::_exit(0);
}

class LedgerCrashTest : public LedgerTest {
 protected:
  // In memory where there is such a place: what survives is the failing storage's to say.
  LedgerCrashTest() {
    std::string name = "/dev/shm/cloister-XXXXXX";
    if (::access("/dev/shm", W_OK) == 0 && ::mkdtemp(name.data()) != nullptr) {
      memory_ = name;
    } else {
      memory_ = folder_ / "memory";
      fs::create_directory(memory_);
    }
    path_ = memory_ / "ledger";
  }
  ~LedgerCrashTest() override { fs::remove_all(memory_); }

  // The number of releases, or kNeverStopped where the job came to its end.
  int ReleasesBefore(const Crash& crash, Job job) {
    int pipe[2];
    EXPECT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    if (child == 0) RunJob(path_, crash, job, pipe[1]);
    ::close(pipe[1]);
    int releases = 0;
    for (char byte = 0; ::read(pipe[0], &byte, 1) == 1;) ++releases;
    ::close(pipe[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) return releases;
    EXPECT_EQ(WEXITSTATUS(status), 0) << "crash at " << crash.at;
    return kNeverStopped;
  }

  // Whether every release is in the ledger. It must open whatever happened, tell the same to who
  // only looks, and go on: neither lost to nor blocked by what a crash left.
  bool SpentWhatWasUsed(int releases) {
    {
      const auto ledger = Open();
      if (ledger == nullptr) return false;
      const auto rows = ledger->Rows();
      EXPECT_TRUE(rows) << rows.error().message;
      const auto spent = static_cast<int>(rows->size());
      if (spent < releases) return false;
      const std::string id = Register(*ledger, Units(0, 5));
      for (int round = 0; round < spent; ++round) {
        EXPECT_EQ((*rows)[static_cast<std::size_t>(round)].spend.key.round, round);
        EXPECT_EQ(ledger->Debit(id, SpendOf(round)).error().code, base::Code::kAlreadyExists);
      }
      EXPECT_TRUE(ledger->Debit(id, SpendOf(spent)));
      EXPECT_TRUE(ledger->Debit(id, SpendOf(100)));
      EXPECT_EQ(ledger->Rows()->size(), static_cast<std::size_t>(spent) + 2);
      EXPECT_GT(ledger->Spent(id)->epsilon, 0);
    }
    const auto reader = Ledger::OpenReadOnly(path_);
    EXPECT_TRUE(reader);
    return true;
  }

  static void ExpectSpent(Ledger& ledger, int releases) {
    const auto rows = ledger.Rows();
    ASSERT_TRUE(rows) << rows.error().message;
    EXPECT_GE(static_cast<int>(rows->size()), releases);
    const std::string id = Register(ledger, Units(0, 5));
    for (std::int64_t round = 0; round < static_cast<std::int64_t>(rows->size()); ++round) {
      EXPECT_EQ(ledger.Debit(id, SpendOf(round)).error().code, base::Code::kAlreadyExists);
    }
  }

  // The same of steps: none that was released may be recorded again.
  bool RecordedWhatWasReleased(int releases) {
    const auto ledger = Open();
    if (ledger == nullptr) return false;
    const std::int64_t last = ledger->LastStep("job").value();
    if (last < releases) return false;
    const std::string id = Register(*ledger, Units(0, 5));
    if (last == 0) return true;
    EXPECT_EQ(ledger->RecordStep(id, "job", StepOf(last)).error().code, base::Code::kAlreadyExists);
    EXPECT_TRUE(ledger->RecordStep(id, "job", StepOf(last + 1)));
    return true;
  }

  struct Outcome {
    std::int64_t stops = 0;   // moments at which the job was stopped
    std::int64_t losses = 0;  // of them, those after which a release was not spent
    int most_releases = 0;
  };
  // Stops the job at its first operation on the storage, at its second …, until it comes to its
  // end.
  Outcome StopEverywhere(Crash crash, Job job, const fs::path& begin_with) {
    Outcome outcome;
    for (crash.at = 1;; ++crash.at) {
      fs::remove_all(memory_);
      fs::copy(begin_with, memory_, fs::copy_options::recursive);
      const int releases = ReleasesBefore(crash, job);
      if (releases == kNeverStopped || HasFailure()) return outcome;
      ++outcome.stops;
      outcome.most_releases = std::max(outcome.most_releases, releases);
      const bool kept =
          OfSteps(job) ? RecordedWhatWasReleased(releases) : SpentWhatWasUsed(releases);
      if (!kept) ++outcome.losses;
    }
  }

  // A folder with nothing, or with a ledger that has the data set and no spend.
  fs::path Begin(bool with_ledger) {
    if (with_ledger) Register(*Open(), Units(0, 5));
    fs::path begin = folder_ / "begin";
    fs::copy(memory_, begin, fs::copy_options::recursive);
    return begin;
  }

  fs::path memory_;
};

// Also while it is made, and in the middle of a write.
TEST_F(LedgerCrashTest, AJobKilledAtAnyWriteHasSpentWhatItReleased) {
  const Outcome outcome = StopEverywhere({Crash::Kind::kKill}, Job::kDebitsFirst, Begin(false));
  EXPECT_GT(outcome.stops, 30);
  EXPECT_EQ(outcome.most_releases, kMostReleases);
  EXPECT_EQ(outcome.losses, 0);
}

TEST_F(LedgerCrashTest, AJobWhosePowerIsCutAtAnyWriteHasSpentWhatItReleased) {
  const fs::path begin = Begin(true);
  for (const Crash::Kind kind : {Crash::Kind::kPowerCut, Crash::Kind::kTornPowerCut}) {
    const Outcome outcome = StopEverywhere({kind}, Job::kDebitsFirst, begin);
    EXPECT_GT(outcome.stops, 15);
    EXPECT_EQ(outcome.most_releases, kMostReleases);
    EXPECT_EQ(outcome.losses, 0);
  }
}

TEST_F(LedgerCrashTest, AStepIsRecordedBeforeItsReleaseWhateverStopsIt) {
  const fs::path begin = Begin(true);
  for (const Crash::Kind kind : {Crash::Kind::kKill, Crash::Kind::kPowerCut}) {
    const Outcome outcome = StopEverywhere({kind}, Job::kRecordsFirst, begin);
    EXPECT_GT(outcome.stops, 15);
    EXPECT_EQ(outcome.most_releases, kMostReleases);
    EXPECT_EQ(outcome.losses, 0);
    EXPECT_GT(StopEverywhere({kind}, Job::kReleasesUnrecorded, begin).losses, 0);
  }
}

// The journal is what a half-written ledger is put right with: where somebody took it, or copied
// the ledger without it, the ledger has all that was released or is refused.
TEST_F(LedgerCrashTest, AJournalThatWasTakenAwayBuysNothing) {
  const fs::path begin = Begin(true);
  int without = 0;
  int refused = 0;
  for (const Crash::Kind kind : {Crash::Kind::kKill, Crash::Kind::kTornPowerCut}) {
    for (Crash crash{kind, 1};; ++crash.at) {
      fs::remove_all(memory_);
      fs::copy(begin, memory_, fs::copy_options::recursive);
      const int releases = ReleasesBefore(crash, Job::kDebitsFirst);
      if (releases == kNeverStopped || HasFailure()) break;
      if (!fs::remove(path_.string() + "-journal")) continue;
      ++without;
      const auto ledger = Ledger::Open(path_);
      if (ledger) {
        ExpectSpent(**ledger, releases);
        continue;
      }
      EXPECT_EQ(ledger.error().code, base::Code::kDataLoss) << ledger.error().message;
      ++refused;
    }
  }
  EXPECT_GT(without, 20);
  EXPECT_GT(refused, 8);
  EXPECT_LT(refused, without);
}

// Who only looks puts a half-written ledger right as well, and is not refused.
TEST_F(LedgerCrashTest, WhoOnlyLooksAfterACrashSeesWhatWasSpent) {
  const fs::path begin = Begin(true);
  int hot = 0;
  for (Crash crash{Crash::Kind::kKill, 1};; ++crash.at) {
    fs::remove_all(memory_);
    fs::copy(begin, memory_, fs::copy_options::recursive);
    const int releases = ReleasesBefore(crash, Job::kDebitsFirst);
    if (releases == kNeverStopped || HasFailure()) break;
    hot += fs::exists(path_.string() + "-journal") ? 1 : 0;
    const auto reader = Ledger::OpenReadOnly(path_);
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_GE(static_cast<int>((*reader)->Rows()->size()), releases);
  }
  EXPECT_GT(hot, 10);
}

// The broken variants, so that the tests above are known to see what they look for.
TEST_F(LedgerCrashTest, SyncsThatDoNothingAreCaught) {
  const Outcome outcome = StopEverywhere({Crash::Kind::kPowerCut, 0, /*ignore_syncs=*/true},
                                         Job::kDebitsFirst, Begin(true));
  EXPECT_GT(outcome.losses, 0);
}

TEST_F(LedgerCrashTest, AReleaseBeforeItsDebitIsCaught) {
  const fs::path begin = Begin(true);
  for (const Crash::Kind kind : {Crash::Kind::kKill, Crash::Kind::kPowerCut}) {
    EXPECT_GT(StopEverywhere({kind}, Job::kReleasesFirst, begin).losses, 0);
  }
}

}  // namespace
}  // namespace cloister::dp
