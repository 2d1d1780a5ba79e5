#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "tests/dp/ledger_fixture.h"

namespace cloister::dp {
namespace {

namespace fs = std::filesystem;

constexpr double kNoise = 0.8;
constexpr double kRate = 0.2;

// A job of a process of its own: waits for the start, then debits until it is refused.
struct Job {
  fs::path ledger;
  std::vector<std::string> units;
  std::string name;
};

// The bytes 'r', one a release; `started` is the read end of a pipe that is closed at the start.
[[noreturn]] void RunJob(const Job& job, int started, int releases) {
  char byte = 0;
  if (::read(started, &byte, 1) != 0) ::_exit(1);
  auto ledger = Ledger::Open(job.ledger);
  if (!ledger) ::_exit(2);
  const auto id = TryRegister(**ledger, job.units);
  if (!id) ::_exit(3);
  for (std::int64_t round = 0;; ++round) {
    Spend spend = SpendOf(round, kNoise, 1, kRate);
    spend.key.job = job.name;
    const base::Status debit = (*ledger)->Debit(*id, spend);
    if (!debit) ::_exit(debit.error().code == base::Code::kResourceExhausted ? 0 : 4);
    if (::write(releases, "r", 1) != 1) ::_exit(5);
  }
}

// All jobs at once; the number of their releases together.
std::int64_t Race(const std::vector<Job>& jobs) {
  std::array<int, 2> start{};
  std::array<int, 2> releases{};
  EXPECT_EQ(::pipe(start.data()), 0);
  EXPECT_EQ(::pipe(releases.data()), 0);
  std::vector<pid_t> children;
  for (const Job& job : jobs) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(start[1]);
      RunJob(job, start[0], releases[1]);
    }
    children.push_back(child);
  }
  ::close(start[0]);
  ::close(releases[1]);
  ::close(start[1]);
  std::int64_t count = 0;
  for (char byte = 0; ::read(releases[0], &byte, 1) == 1;) ++count;
  ::close(releases[0]);
  for (const pid_t child : children) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
  }
  return count;
}

class LedgerRaceTest : public LedgerTest {
 protected:
  const std::int64_t affordable_ = Affordable(kNoise, kRate);
};

// The ledger is not there when they start: they also race to make it.
TEST_F(LedgerRaceTest, ConcurrentJobsSpendOneBudget) {
  const std::int64_t releases = Race({{path_, Units(0, 50), "first"},
                                      {path_, Units(0, 50), "second"},
                                      {path_, Units(0, 50), "third"}});
  EXPECT_EQ(releases, affordable_);
  const auto ledger = Open();
  EXPECT_EQ(ledger->Rows()->size(), static_cast<std::size_t>(affordable_));
  EXPECT_LE(ledger->Spent(Register(*ledger, Units(0, 50)))->epsilon, kBudget.epsilon);
}

TEST_F(LedgerRaceTest, ConcurrentJobsOnOverlappingDataSpendOneBudget) {
  const std::int64_t releases =
      Race({{path_, Units(0, 50), "first"}, {path_, Units(49, 99), "second"}});
  EXPECT_EQ(releases, affordable_);
  const auto ledger = Open();
  for (const auto& units : {Units(0, 50), Units(49, 99)}) {
    EXPECT_LE(ledger->Spent(Register(*ledger, units))->epsilon, kBudget.epsilon);
  }
}

// The broken variants, so that a race is known to show an overspend: a ledger for each job, and
// units that are not known to be the same.
TEST_F(LedgerRaceTest, JobsThatDoNotSeeEachOtherOverspend) {
  EXPECT_EQ(Race({{path_, Units(0, 50), "first"}, {folder_ / "other", Units(0, 50), "second"}}),
            2 * affordable_);
  path_ = folder_ / "another";
  EXPECT_EQ(Race({{path_, Units(0, 50), "first"}, {path_, Units(50, 99), "second"}}),
            2 * affordable_);
}

// What one process was told before its debit is stale when another debited meanwhile.
TEST_F(LedgerRaceTest, APlanThatWasAffordableIsCheckedAgainWhenDebited) {
  const auto first = Open();
  const auto second = Open();
  const std::string id = Register(*first, Units(0, 50));
  EXPECT_EQ(Register(*second, Units(0, 50)), id);
  const Spend half = SpendOf(1, kNoise, affordable_ / 2 + 1, kRate);
  EXPECT_TRUE(first->CheckAffordable(id, half.event));
  EXPECT_TRUE(second->CheckAffordable(id, half.event));
  EXPECT_TRUE(first->Debit(id, half));
  EXPECT_EQ(second->Debit(id, half).error().code, base::Code::kAlreadyExists);
  Spend other = half;
  other.key.job = "other";
  EXPECT_EQ(second->Debit(id, other).error().code, base::Code::kResourceExhausted);
  EXPECT_EQ(first->Rows()->size(), 1u);
}

// Readers and the writer wait for one another, and neither is refused.
TEST_F(LedgerRaceTest, WhoOnlyLooksSeesEachStateWhileAnotherWrites) {
  { Open(); }
  constexpr std::int64_t kRounds = 40;
  const pid_t child = ::fork();
  if (child == 0) {
    auto ledger = Ledger::Open(path_);
    if (!ledger) ::_exit(1);
    const auto id = TryRegister(**ledger, Units(0, 50));
    if (!id) ::_exit(2);
    for (std::int64_t round = 0; round < kRounds; ++round) {
      if (!(*ledger)->Debit(*id, SpendOf(round, 50))) ::_exit(3);
    }
    ::_exit(0);
  }
  std::size_t seen = 0;
  int looks = 0;
  int status = 0;
  for (bool ended = false; !ended;) {
    ended = ::waitpid(child, &status, WNOHANG) == child;
    const auto reader = Ledger::OpenReadOnly(path_);
    ASSERT_TRUE(reader) << reader.error().message;
    const auto rows = (*reader)->Rows();
    ASSERT_TRUE(rows) << rows.error().message;
    EXPECT_GE(rows->size(), seen);
    seen = rows->size();
    ++looks;
  }
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
  EXPECT_EQ(seen, static_cast<std::size_t>(kRounds));
  EXPECT_GT(looks, 2);
}

}  // namespace
}  // namespace cloister::dp
