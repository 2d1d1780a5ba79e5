#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "dp/ledger/unit_set.h"
#include "security/random.h"
#include "tests/dp/ledger_fixture.h"

namespace cloister::dp {
namespace {

// Units from..to-1 without a list of them.
UnitSource Numbers(std::int64_t from, std::int64_t to) {
  return [next = from, to, text = std::string()]() mutable -> base::Result<std::optional<UnitKey>> {
    if (next == to) return std::nullopt;
    text = "record " + std::to_string(next++);
    return UnitKey{text, {}};
  };
}

base::Result<std::string> RegisterFrom(Ledger& ledger, const UnitSource& units) {
  return ledger.RegisterDataSet("patients", units, PrivacyUnit::kRecord,
                                Neighbours::kAddOrRemoveOne, kBudget);
}

TEST_F(LedgerTest, AStreamOfUnitsIsTheListOfThem) {
  const auto ledger = Open();
  EXPECT_EQ(Register(*ledger, Units(0, 50)), RegisterFrom(*ledger, Numbers(0, 50)).value());
}

TEST_F(LedgerTest, AStreamThatFailsRegistersNothing) {
  const auto ledger = Open();
  int given = 0;
  const UnitSource failing = [&]() -> base::Result<std::optional<UnitKey>> {
    if (++given < 5) return UnitKey{"unit", {}};
    return base::Fail(base::Code::kDataLoss, "line 5: no record");
  };
  const auto refused = RegisterFrom(*ledger, failing);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kDataLoss);
  EXPECT_EQ(refused.error().message, "line 5: no record");
}

// Sets of several blocks that meet in one unit alone, wherever it lies.
TEST_F(LedgerTest, OneSharedUnitAmongManyIsFound) {
  const auto ledger = Open();
  const std::string large = *RegisterFrom(*ledger, Numbers(0, 10000));
  ASSERT_TRUE(ledger->Debit(large, SpendOf(1)));
  for (const std::int64_t from : {std::int64_t{9999}, std::int64_t{-4999}, std::int64_t{-2}}) {
    const std::string other = *RegisterFrom(*ledger, Numbers(from, from < 0 ? 1 : 15000));
    EXPECT_GT(ledger->Spent(other)->epsilon, 0) << from;
  }
  // The broken variant: without it nothing is inherited.
  const std::string apart = *RegisterFrom(*ledger, Numbers(20000, 30000));
  EXPECT_EQ(ledger->Spent(apart)->epsilon, 0);
}

TEST_F(LedgerTest, AnIdDependsOnTheSetAndTheKeyAlone) {
  std::vector<std::string> units = Units(0, 9000);
  const auto ledger = Open();
  const std::string id = Register(*ledger, units);
  std::reverse(units.begin(), units.end());
  units.push_back(units.front());
  EXPECT_EQ(Register(*ledger, units), id);
  path_ = folder_ / "other";
  EXPECT_NE(Register(*Open(), units), id);
}

// A unit that is not found again would have a fresh budget.
TEST_F(LedgerTest, LostUnitsAreAnError) {
  { ASSERT_TRUE(RegisterFrom(*Open(), Numbers(0, 10000))); }
  const auto error_after = [&](const char* sql) {
    const auto copy = folder_ / "copy";
    std::filesystem::copy_file(path_, copy, std::filesystem::copy_options::overwrite_existing);
    Tamper(sql);
    const base::Code code = OpenError();
    std::filesystem::copy_file(copy, path_, std::filesystem::copy_options::overwrite_existing);
    return code;
  };
  constexpr auto kLost = base::Code::kDataLoss;
  EXPECT_EQ(error_after("SELECT 1"), base::Code::kOk);
  EXPECT_EQ(error_after("DELETE FROM unit_blocks WHERE block = 0"), kLost);
  EXPECT_EQ(error_after("DELETE FROM unit_blocks WHERE block = 2"), kLost);
  EXPECT_EQ(error_after("DELETE FROM unit_blocks"), kLost);
  EXPECT_EQ(error_after("INSERT INTO unit_blocks SELECT 9, 'other', 0, hashes, code FROM "
                        "unit_blocks WHERE block = 0"),
            kLost);
  EXPECT_EQ(error_after("UPDATE unit_blocks SET hashes = zeroblob(65536) WHERE block = 1"), kLost);
  EXPECT_EQ(error_after("UPDATE unit_blocks SET hashes = '', code = '' WHERE block = 1"), kLost);
  EXPECT_EQ(error_after("UPDATE unit_blocks SET block = 7 - block WHERE block < 3"), kLost);
}

TEST(UnitSet, HashesSortAsTheirBytesDo) {
  security::HmacSha256Key key(std::array<std::uint8_t, 32>{7});
  const UnitSet set = *UnitSet::Read(Numbers(0, 500), key);
  ASSERT_EQ(set.hashes().size(), 500u);
  std::vector<std::vector<std::uint8_t>> packed;
  for (const UnitHash& hash : set.hashes()) packed.push_back(PackHashes({&hash, 1}));
  EXPECT_TRUE(std::is_sorted(packed.begin(), packed.end()));
  EXPECT_TRUE(std::ranges::equal(UnpackHashes(PackHashes(set.hashes())), set.hashes()));
  // The first half of the unit's HMAC.
  const std::string unit = "record 0";
  auto whole =
      security::HmacSha256(std::array<std::uint8_t, 32>{7},
                           {reinterpret_cast<const std::uint8_t*>(unit.data()), unit.size()});
  EXPECT_TRUE(std::ranges::binary_search(
      packed, std::vector<std::uint8_t>(whole.begin(), whole.begin() + 16)));
}

TEST(UnitSet, SharedMembersAreThoseOfWholeHashes) {
  using Hashes = std::vector<UnitHash>;
  const auto shared = [](const Hashes& some, const Hashes& others) {
    std::vector<std::size_t> found;
    ForShared(some, others, [&](std::size_t i) { return found.push_back(i), true; });
    return found;
  };
  using Indexes = std::vector<std::size_t>;
  EXPECT_EQ(shared({}, {{1, 2}}), Indexes());
  EXPECT_EQ(shared({{1, 2}, {3, 4}}, {{1, 4}, {3, 2}}), Indexes());
  EXPECT_EQ(shared({{1, 2}, {3, 4}, {5, 6}}, {{0, 9}, {1, 2}, {1, 9}, {5, 6}}), (Indexes{0, 2}));
}

// A million units of two keys in a child: found again, and within 64 MiB. (How long it takes:
// bench/ledger.)
TEST_F(LedgerTest, AMillionUnitsTakeLittleMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's memory is not the ledger's";
#endif
  const pid_t child = ::fork();
  if (child == 0) {
    auto ledger = Ledger::Open(path_);
    if (!ledger) ::_exit(1);
    const auto first = RegisterFrom(**ledger, Numbers(0, 2'000'000));
    const auto again = RegisterFrom(**ledger, Numbers(0, 2'000'000));
    if (!first || !again || *first != *again) ::_exit(2);
    const auto extended = RegisterFrom(**ledger, Numbers(1'000'000, 3'000'000));
    if (!extended || !(*ledger)->Debit(*first, SpendOf(1))) ::_exit(3);
    if (!((*ledger)->Spent(*extended)->epsilon > 0)) ::_exit(4);
    ::_exit(0);
  }
  int status = 0;
  rusage usage{};
  ASSERT_EQ(::wait4(child, &status, 0, &usage), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_LT(usage.ru_maxrss, 64 * 1024) << "KiB";
}

}  // namespace
}  // namespace cloister::dp
