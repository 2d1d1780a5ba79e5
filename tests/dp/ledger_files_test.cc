#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"
#include "tests/dp/ledger_fixture.h"

namespace cloister::dp {
namespace {

namespace fs = std::filesystem;

// A process that is killed right after Debit returned has spent.
TEST_F(LedgerTest, ADebitOutlivesKill9) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto ledger = Ledger::Open(path_);
    if (!ledger) ::_exit(1);
    const auto id = TryRegister(**ledger, Units(0, 50));
    if (!id || !(*ledger)->Debit(*id, SpendOf(3))) ::_exit(2);
    if (::write(pipe[1], "d", 1) != 1) ::_exit(3);
    ::pause();
  }
  ::close(pipe[1]);
  char byte = 0;
  ASSERT_EQ(::read(pipe[0], &byte, 1), 1);
  ::close(pipe[0]);
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  {
    const auto reader = Ledger::OpenReadOnly(path_);  // before anybody recovered it
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_EQ((*reader)->Rows()->size(), 1u);
  }
  const auto ledger = Open();
  ASSERT_EQ(ledger->Rows()->size(), 1u);
  EXPECT_EQ(ledger->Rows()->front().spend.key.round, 3);
  EXPECT_EQ(ledger->Debit(Register(*ledger, Units(0, 50)), SpendOf(3)).error().code,
            base::Code::kAlreadyExists);
}

TEST_F(LedgerTest, AHostileFileIsOneClearError) {
  { Register(*Open(), Units(0, 500)); }
  const std::string good = *base::ReadFile(path_);
  const auto with = [&](const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return OpenError();
  };
  constexpr auto kLost = base::Code::kDataLoss;
  EXPECT_EQ(with(good), base::Code::kOk);
  EXPECT_EQ(with(""), kLost) << "an empty file would be a fresh budget";
  EXPECT_EQ(with("not a database at all, but long enough to look like something"), kLost);
  EXPECT_EQ(with(good.substr(0, 50)), kLost);
  EXPECT_EQ(with(good.substr(0, 4096)), kLost);
  EXPECT_EQ(with(good.substr(0, good.size() - 8192)), kLost);
  std::string scrambled = good;
  for (std::size_t i = 4096; i < scrambled.size(); i += 3) scrambled[i] ^= 0x55;
  EXPECT_EQ(with(scrambled), kLost);
}

TEST_F(LedgerTest, OtherDatabasesAreRefused) {
  { Register(*Open(), Units(0, 5)); }
  const std::string good = *base::ReadFile(path_);
  const auto after = [&](const char* sql) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << good;
    Tamper(sql);
    return OpenError();
  };
  constexpr auto kLost = base::Code::kDataLoss;
  EXPECT_EQ(after("SELECT 1"), base::Code::kOk);
  EXPECT_EQ(after("PRAGMA user_version=2"), kLost);
  EXPECT_EQ(after("PRAGMA user_version=4"), kLost) << "an older version";
  EXPECT_EQ(after("PRAGMA user_version=6"), kLost);
  EXPECT_EQ(after("PRAGMA application_id=7"), kLost);
  EXPECT_EQ(after("CREATE TRIGGER t AFTER INSERT ON spends BEGIN DELETE FROM spends; END"), kLost);
  EXPECT_EQ(after("DROP TABLE meta"), kLost);
  EXPECT_EQ(after("UPDATE meta SET value = 'x'"), kLost) << "another ledger's key";
}

// An older copy, which other refusals ask for, is of no help; a new ledger for the same data would
// forget its spends.
TEST_F(LedgerTest, ALedgerOfAnotherVersionSaysWhatToDo) {
  { Register(*Open(), Units(0, 5)); }
  for (const char* const version : {"4", "6"}) {
    Tamper(std::string("PRAGMA user_version=") + version);
    for (const auto open : {&Ledger::Open, &Ledger::OpenReadOnly}) {
      const auto opened = open(path_);
      ASSERT_FALSE(opened);
      EXPECT_EQ(opened.error().message,
                "privacy ledger of version " + std::string(version) +
                    ", where this program knows version 5 alone, " + path_.string() +
                    ": keep using the program version that made it, or start a new ledger for new "
                    "data only; what this one recorded counts as spent on its data");
    }
  }
}

TEST_F(LedgerTest, WithoutItsKeyALedgerIsNotOpened) {
  { Register(*Open(), Units(0, 5)); }
  const std::string key_path = path_.string() + ".key";
  const std::string key = *base::ReadFile(key_path);
  fs::remove(key_path);
  EXPECT_EQ(OpenError(), base::Code::kDataLoss) << "a new key would be a fresh budget";
  EXPECT_EQ(Ledger::OpenReadOnly(path_).error().code, base::Code::kDataLoss);
  ASSERT_TRUE(base::WriteFile(key_path, "short"));
  EXPECT_EQ(OpenError(), base::Code::kDataLoss);
  ASSERT_TRUE(base::WriteFile(key_path, std::string(32, 'k')));
  EXPECT_EQ(OpenError(), base::Code::kDataLoss);
  ASSERT_TRUE(base::WriteFile(key_path, key));
  EXPECT_EQ(OpenError(), base::Code::kOk);
}

TEST_F(LedgerTest, WithoutItsLedgerAKeyIsNotUsed) {
  { Register(*Open(), Units(0, 5)); }
  fs::rename(path_, folder_ / "elsewhere");
  const auto refused = Ledger::Open(path_);
  ASSERT_FALSE(refused) << "a new ledger would be a fresh budget";
  EXPECT_EQ(refused.error().code, base::Code::kDataLoss);
  for (const std::string& named : {path_.string() + ",", path_.string() + ".key",
                                   std::string("restore the ledger's newest copy")}) {
    EXPECT_NE(refused.error().message.find(named), std::string::npos) << refused.error().message;
  }
  EXPECT_FALSE(fs::exists(path_));
  fs::rename(folder_ / "elsewhere", path_);
  EXPECT_EQ(OpenError(), base::Code::kOk);
  // Nor where its log alone is left.
  fs::rename(path_, path_.string() + "-wal");
  fs::remove(path_.string() + ".key");
  EXPECT_EQ(OpenError(), base::Code::kDataLoss);
}

// What a crash leaves on either side of the key.
TEST_F(LedgerTest, AHalfMadeLedgerIsBegunAgainOrCompleted) {
  const std::string fresh = path_.string() + ".new";
  ASSERT_TRUE(base::WriteFile(fresh, "half a file"));
  ASSERT_TRUE(base::WriteFile(fresh + "-journal", "its journal"));
  EXPECT_EQ(OpenError(), base::Code::kOk);
  EXPECT_FALSE(fs::exists(fresh));
  EXPECT_FALSE(fs::exists(fresh + "-journal"));

  const std::string key = *base::ReadFile(path_.string() + ".key");
  fs::rename(path_, fresh);
  EXPECT_EQ(OpenError(), base::Code::kOk);
  EXPECT_FALSE(fs::exists(fresh));
  EXPECT_EQ(*base::ReadFile(path_.string() + ".key"), key);
}

TEST_F(LedgerTest, AUsedLedgerIsNoHalfMadeOne) {
  const std::string fresh = path_.string() + ".new";
  { Open(); }
  const std::string unused = *base::ReadFile(path_);
  const std::string key = *base::ReadFile(path_.string() + ".key");
  const auto with_fresh = [&](const std::string& bytes) {
    EXPECT_TRUE(base::WriteFile(fresh, bytes));
    const base::Code code = OpenError();
    EXPECT_EQ(*base::ReadFile(code == base::Code::kOk ? path_ : fs::path(fresh)), bytes);
    return code;
  };
  {
    const auto ledger = Open();
    const std::string id = Register(*ledger, Units(0, 5));
    ASSERT_TRUE(ledger->Debit(id, SpendOf(1)));
  }
  const std::string used = *base::ReadFile(path_);
  fs::remove(path_);
  EXPECT_EQ(with_fresh(used), base::Code::kDataLoss);
  EXPECT_EQ(with_fresh(""), base::Code::kDataLoss);
  EXPECT_EQ(with_fresh(unused.substr(0, 4096)), base::Code::kDataLoss);
  ASSERT_TRUE(base::WriteFile(path_.string() + ".key", std::string(32, 'k')));
  EXPECT_EQ(with_fresh(unused), base::Code::kDataLoss) << "another ledger's key";
  ASSERT_TRUE(base::WriteFile(path_.string() + ".key", key));
  EXPECT_EQ(with_fresh(unused), base::Code::kOk);
}

// Killed anywhere on the way, a creation leaves what the next one can work with.
TEST_F(LedgerTest, ACreationThatIsKilledDoesNotBlockTheNext) {
  for (int i = 0; i < 9; ++i) {
    path_ = folder_ / ("ledger" + std::to_string(i));
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::_exit(Ledger::Open(path_).has_value() ? 0 : 1);
    }
    ::usleep(useconds_t{500} << i);
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(OpenError(), base::Code::kOk) << i;
  }
}

// What was committed is in the one file: a copy of it and of its key has every spend, whatever was
// going on.
TEST_F(LedgerTest, ACopyOfLedgerAndKeyHasEverySpend) {
  const auto ledger = Open();
  const std::string id = Register(*ledger, Units(0, 5));
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(ledger->Debit(id, SpendOf(round)));
    const fs::path copy = folder_ / ("copy" + std::to_string(round));
    fs::copy_file(path_, copy);
    fs::copy_file(path_.string() + ".key", copy.string() + ".key");
    const auto reader = Ledger::OpenReadOnly(copy);
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_EQ((*reader)->Rows()->size(), static_cast<std::size_t>(round) + 1);
    EXPECT_EQ((*reader)->Spent(id)->epsilon, ledger->Spent(id)->epsilon);
  }
  for (const char* const beside : {"-wal", "-shm", "-journal"}) {
    EXPECT_FALSE(fs::exists(path_.string() + beside)) << beside;
  }
}

TEST_F(LedgerTest, AWriteAheadLogIsRefused) {
  { Register(*Open(), Units(0, 5)); }
  ASSERT_TRUE(base::WriteFile(path_.string() + "-wal", ""));
  EXPECT_EQ(OpenError(), base::Code::kDataLoss) << "SQLite would write into it";
  EXPECT_EQ(Ledger::OpenReadOnly(path_).error().code, base::Code::kDataLoss);
  fs::remove(path_.string() + "-wal");
  EXPECT_EQ(OpenError(), base::Code::kOk);
  Tamper("PRAGMA journal_mode=WAL");
  EXPECT_EQ(OpenError(), base::Code::kDataLoss);
}

// Each name would have a journal and a lock of its own.
TEST_F(LedgerTest, ASecondNameIsRefused) {
  { Register(*Open(), Units(0, 5)); }
  const fs::path second = folder_ / "second";
  fs::create_hard_link(path_, second);
  fs::copy_file(path_.string() + ".key", second.string() + ".key");
  for (const fs::path& name : {path_, second}) {
    const auto writer = Ledger::Open(name);
    ASSERT_FALSE(writer);
    EXPECT_EQ(writer.error().code, base::Code::kDataLoss);
    EXPECT_NE(writer.error().message.find("hard links"), std::string::npos);
    EXPECT_EQ(Ledger::OpenReadOnly(name).error().code, base::Code::kDataLoss);
  }
  fs::remove(second);
  EXPECT_EQ(OpenError(), base::Code::kOk);
  fs::create_symlink(path_, second);
  EXPECT_EQ(Ledger::Open(second).error().code, base::Code::kDataLoss);
}

// The journal of a ledger that is gone would be played into the one that is made in its place.
TEST_F(LedgerTest, AJournalWithoutItsLedgerIsNotPlayedIntoANewOne) {
  ASSERT_TRUE(base::WriteFile(path_.string() + "-journal", "a journal"));
  EXPECT_EQ(OpenError(), base::Code::kDataLoss);
  EXPECT_FALSE(fs::exists(path_));
  fs::remove(path_.string() + "-journal");
  EXPECT_EQ(OpenError(), base::Code::kOk);
}

// Nothing is waited for: who opened a pipe would hang here.
TEST_F(LedgerTest, APipeAFolderOrADeviceInPlaceOfAFileIsRefused) {
  { Register(*Open(), Units(0, 5)); }
  const fs::path kept = folder_ / "kept";
  const auto refused = [](const base::Result<std::unique_ptr<Ledger>>& opened,
                          const fs::path& place) {
    ASSERT_FALSE(opened) << place;
    EXPECT_EQ(opened.error().message.find('\n'), std::string::npos);
    EXPECT_NE(opened.error().message.find(place.string()), std::string::npos)
        << opened.error().message;
    EXPECT_TRUE(opened.error().message.find("no regular file") != std::string::npos ||
                opened.error().message.find("is a folder") != std::string::npos)
        << opened.error().message;
  };
  const auto check = [&](const fs::path& place, bool also_for_looking) {
    refused(Ledger::Open(path_), place);
    if (also_for_looking) refused(Ledger::OpenReadOnly(path_), place);
    fs::remove(place);
  };
  for (const char* const beside : {"", ".key", ".lock", "-journal"}) {
    const fs::path place = path_.string() + beside;
    const bool looked_at = beside != std::string(".lock");
    const bool there = fs::exists(place);
    if (there) fs::rename(place, kept);
    ASSERT_EQ(::mkfifo(place.c_str(), 0600), 0);
    check(place, looked_at);
    ASSERT_TRUE(fs::create_directory(place));
    check(place, looked_at);
    fs::create_symlink("/dev/zero", place);
    check(place, looked_at);
    if (there) fs::rename(kept, place);
    EXPECT_EQ(OpenError(), base::Code::kOk) << beside;
  }
}

TEST_F(LedgerTest, LookingAtNothingMakesNothing) {
  EXPECT_EQ(Ledger::OpenReadOnly(path_).error().code, base::Code::kNotFound);
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(LedgerTest, AFolderThatCannotBeIsAnError) {
  std::ofstream(folder_ / "file") << "no folder";
  path_ = folder_ / "file" / "ledger";
  EXPECT_EQ(OpenError(), base::Code::kUnavailable);
}

TEST_F(LedgerTest, ItsFolderIsMade) {
  path_ = folder_ / "ledgers" / "of" / "mine";
  EXPECT_FALSE(Ledger::OpenReadOnly(path_)) << "for looking nothing is";
  EXPECT_FALSE(std::filesystem::exists(folder_ / "ledgers"));
  Register(*Open(), Units(0, 5));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace cloister::dp
