// What a site keeps: the journal of its choices; and the messages to and from its worker.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <fstream>
#include <limits>
#include <thread>

#include "base/file.h"
#include "base/frame_channel.h"
#include "federation/site/journal.h"
#include "federation/site/worker_process.h"
#include "federation/worker/messages.h"
#include "tests/federation/support/parties.h"

namespace cloister::federation::test {
namespace {

using ::testing::HasSubstr;

protocol::AttemptId AttemptOf(std::uint64_t round) { return {security::Sha256Digest{1}, round, 1}; }

TEST(Journal, RemembersARoundAfterItWasClosed) {
  const TemporaryFolder folder;
  {
    auto journal = site::Journal::Open(folder.path());
    ASSERT_TRUE(journal);
    ASSERT_TRUE(journal->Append(protocol::StartRecord(AttemptOf(1))));
  }
  struct stat status {};
  ASSERT_EQ(::stat((folder.path() / "choices.journal").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  const auto journal = site::Journal::Open(folder.path());
  ASSERT_TRUE(journal);
  EXPECT_FALSE(journal->Past()->CheckStart(AttemptOf(1)));
  EXPECT_TRUE(journal->Past()->CheckStart(AttemptOf(2)));
}

TEST(Journal, IsOneDaemonsAlone) {
  const TemporaryFolder folder;
  const auto first = site::Journal::Open(folder.path());
  ASSERT_TRUE(first);
  const auto second = site::Journal::Open(folder.path());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::Code::kFailedPrecondition);
}

TEST(Journal, CutsOffATornRecordAndRefusesDamage) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "choices.journal";
  {
    auto journal = site::Journal::Open(folder.path());
    ASSERT_TRUE(journal->Append(protocol::StartRecord(AttemptOf(1))));
    ASSERT_TRUE(journal->Append(protocol::StartRecord(AttemptOf(2))));
  }
  const std::string whole = base::ReadFile(path).value();
  for (std::size_t torn = whole.size() / 2 + 1; torn < whole.size(); torn += 5) {
    ASSERT_TRUE(base::WriteFile(path, whole.substr(0, torn)));
    auto journal = site::Journal::Open(folder.path());
    ASSERT_TRUE(journal) << torn;
    EXPECT_FALSE(journal->Past()->CheckStart(AttemptOf(1)));
    EXPECT_TRUE(journal->Past()->CheckStart(AttemptOf(2)));
    ASSERT_TRUE(journal->Append(protocol::StartRecord(AttemptOf(3))));
    EXPECT_FALSE(journal->Past()->CheckStart(AttemptOf(3)));
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {  // the last record's bytes as well
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    ASSERT_TRUE(base::WriteFile(path, damaged));
    const auto journal = site::Journal::Open(folder.path());
    ASSERT_FALSE(journal) << i;
    EXPECT_EQ(journal.error().code, base::Code::kDataLoss);
    EXPECT_EQ(base::ReadFile(path).value(), damaged);  // nothing is cut off
  }
  const std::size_t half = whole.size() / 2;
  for (const std::string& other :
       {whole.substr(half), whole.substr(half) + whole.substr(0, half), whole + whole}) {
    ASSERT_TRUE(base::WriteFile(path, other));
    EXPECT_FALSE(site::Journal::Open(folder.path()));
  }
}

TEST(Journal, IsMadePrivateWhereItWasNot) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "choices.journal";
  ASSERT_TRUE(base::WriteFile(path, ""));
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  ASSERT_TRUE(site::Journal::Open(folder.path()));
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat(folder.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
}

worker::Open GoodOpen() {
  worker::Open open;
  open.job = "ab";
  open.model = "model.gguf";
  open.model_sha256 = std::string(64, 'a');
  open.data = "data";
  open.ledger = "ledger.sqlite";
  open.lora = {{"rank", 1}};
  open.clip_norm = 0.1;
  open.noise_multiplier = 0.6;
  open.sampling_rate = 0.04;
  open.unit = "record";
  open.neighbours = "add-or-remove-one";
  open.spacing = 0.1 / (1 << 18);
  open.noise_shares = 2;
  open.sites = 4;
  open.rounds = 10;
  open.units_cap = 700;
  open.budget_epsilon = 8;
  open.budget_delta = 1e-5;
  open.job_delta = 1e-5;
  open.max_tokens = 256;
  open.evaluation_rows = 16;
  open.micro_batch_tokens = 1024;
  open.threads = 2;
  return open;
}

TEST(WorkerMessages, OpenComesBackAndEveryMissingOrUnknownFieldIsNamed) {
  const nlohmann::json json = worker::ToJson(GoodOpen());
  const auto open = worker::OpenFromJson(json);
  ASSERT_TRUE(open) << open.error().message;
  EXPECT_EQ(worker::ToJson(*open), json);
  for (const auto& item : json.items()) {
    nlohmann::json missing = json;
    missing.erase(item.key());
    const auto result = worker::OpenFromJson(missing);
    ASSERT_FALSE(result) << item.key();
    EXPECT_THAT(result.error().message, HasSubstr("'" + item.key() + "' is missing"));
    nlohmann::json wrong = json;
    wrong[item.key()] = nlohmann::json::array({1});
    EXPECT_FALSE(worker::OpenFromJson(wrong)) << item.key();
  }
  nlohmann::json extra = json;
  extra["loss"] = 1;
  EXPECT_FALSE(worker::OpenFromJson(extra));
  nlohmann::json rate = json;
  rate["sampling_rate"] = 1.5;
  EXPECT_FALSE(worker::OpenFromJson(rate));
}

TEST(WorkerMessages, OpenedMayLeaveOutWhatTheLedgerHolds) {
  const auto bare = worker::OpenedFromJson({{"type", "opened"}, {"parameters", 80}});
  ASSERT_TRUE(bare) << bare.error().message;
  EXPECT_EQ(bare->epsilon, 0);
  const auto full = worker::OpenedFromJson(worker::ToJson(worker::Opened{80, 0.25, 0.75}));
  ASSERT_TRUE(full);
  EXPECT_EQ(full->epsilon, 0.25);
  EXPECT_EQ(full->epsilon_own_noise, 0.75);
  EXPECT_FALSE(worker::OpenedFromJson({{"type", "opened"}, {"parameters", 80}, {"epsilon", -1}}));
}

TEST(WorkerMessages, InfinityTravels) {
  const worker::Update update{0.5, std::numeric_limits<double>::infinity()};
  const auto back = worker::UpdateFromJson(worker::ToJson(update));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->epsilon_own_noise, std::numeric_limits<double>::infinity());
}

TEST(WorkerChannel, PassesOnErrorsAndRefusesAWrongSize) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  std::thread other([fd = pair[1]] {
    base::FrameChannel channel(fd);
    ASSERT_TRUE(channel.Receive());
    ASSERT_TRUE(
        channel.Send(worker::ErrorToJson({base::Code::kResourceExhausted, "the budget is spent"})));
    ASSERT_TRUE(channel.Receive());
    const std::array<std::byte, 8> one_integer{};
    ASSERT_TRUE(channel.Send(worker::ToJson(worker::Update{1, 1}), one_integer));
  });
  const auto channel = site::WorkerOver(pair[0]);
  const std::array<float, 2> parameters{};
  const auto refused = channel->Train({1, 1}, parameters);
  const auto wrong = channel->Train({2, 1}, parameters);
  other.join();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, base::Code::kDataLoss);
  const auto gone = channel->Train({3, 1}, parameters);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, base::Code::kAborted);
}

TEST(WorkerProcess, AProgramThatEndsIsAnErrorAndAMissingOneIsNamed) {
  const auto missing = site::StartWorker("/nonexistent/cloister-train");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, base::Code::kNotFound);
  const auto ended = site::StartWorker("/bin/true");
  ASSERT_TRUE(ended);
  const auto opened = (*ended)->Open(GoodOpen());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, base::Code::kAborted);
}

TEST(WorkerProcess, InheritsNothingButItsChannel) {
  const TemporaryFolder folder;
  const auto script = folder.path() / "worker";
  const auto listing = folder.path() / "descriptors";
  ASSERT_TRUE(base::WriteFile(script,
                              "#!/bin/sh\nls -l /proc/$$/fd | grep -v ' [012] -> ' | "
                              "grep -c socket: > " +
                                  listing.string() + "\n"));
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  std::array<int, 2> secret{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, secret.data()), 0);  // not close-on-exec
  {
    const auto process = site::StartWorker(script);
    ASSERT_TRUE(process);
    EXPECT_FALSE((*process)->Open(GoodOpen()));
  }
  EXPECT_EQ(base::ReadFile(listing).value(), "1\n");
  ::close(secret[0]);
  ::close(secret[1]);
}

}  // namespace
}  // namespace cloister::federation::test
