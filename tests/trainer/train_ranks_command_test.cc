// Runs of several processes from the command line: what they leave is what one process leaves, and
// when one of them is lost the others say so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "dp/ledger/ledger.h"
#include "tests/trainer/ranks_command.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kPrivate =
    "privacy: {noise_multiplier: 5, delta: 1.0e-3, clip_norm: 0.5, sampling_rate: 0.2, unit: "
    "record, "
    "neighbours: add-or-remove-one, nominal_units: 20, ledger: LEDGER, budget_epsilon: 50, "
    "budget_delta: 0.01}\n";

TEST_F(RanksCommand, TrainWhatOneProcessTrains) {
  const std::string training = "steps: 4, batch_size: 3";
  ASSERT_EQ(Run("one", {"--config", Recipe("one", training).string()}), 0) << Said("one");
  const std::vector<float> one = Adapter("one");
  for (const int ranks : {2, 4}) {  // of 4 ranks one has none of a batch of 3
    const std::string name = "of" + std::to_string(ranks);
    ASSERT_EQ(
        Run(name, {"--config", Recipe(name, training).string(), "--nproc", std::to_string(ranks)}),
        0)
        << Said(name);
    EXPECT_LT(Furthest(Adapter(name), one), 1e-5);
    EXPECT_EQ(Events(name, "done").size(), 1);
    ExpectLossesOf(name, "one", 4);  // told once
  }
}

TEST_F(RanksCommand, PrivateRunsDebitEachStepOnce) {
  ASSERT_EQ(Run("one", {"--config", Recipe("one", "steps: 5", kPrivate).string()}), 0)
      << Said("one");
  ASSERT_EQ(Run("two", {"--config", Recipe("two", "steps: 5", kPrivate).string(), "--nproc=3"}), 0)
      << Said("two");
  const auto ledger = dp::Ledger::Open(folder_ / "two.sqlite");
  ASSERT_TRUE(ledger);
  const auto rows = (*ledger)->Rows().value();
  ASSERT_EQ(rows.size(), 5);
  std::set<std::int64_t> rounds;
  for (const auto& row : rows) rounds.insert(row.spend.key.round);
  EXPECT_EQ(rounds.size(), 5);
  const auto one = Events("one", "step"), two = Events("two", "step");
  ASSERT_EQ(two.size(), 5);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(two[i]["epsilon"], one[i]["epsilon"]);
  EXPECT_EQ(Events("two", "done")[0]["epsilon"], Events("one", "done")[0]["epsilon"]);
  EXPECT_GT(Furthest(Adapter("two"), Adapter("one")), 0);
}

// With little noise the update is the one of all units, on however many ranks they are: each draws
// every unit, at rate 1. Without those of one rank it would be another.
TEST_F(RanksCommand, PrivateRunsMoveAsOneProcessWhereNoiseIsSmall) {
  std::string settings = kPrivate;
  const auto set = [&](const std::string& from, const std::string& to) {
    settings.replace(settings.find(from), from.size(), to);
  };
  set("noise_multiplier: 5", "noise_multiplier: 0.3");
  set("sampling_rate: 0.2", "sampling_rate: 1");
  set("budget_delta: 0.01", "budget_delta: 0.005");
  set("nominal_units: 20", "nominal_units: 120");
  WriteRecords("train.jsonl", 120, 0);
  WriteRecords("eval.jsonl", 3, 1000);
  // Steps in proportion to the gradient, of few parameters: noise of each is a small part of it.
  const std::vector<std::string> common = {
      "--set", "optimizer.epsilon=1", "--set", "optimizer.learning_rate=1",
      "--set", "lora.rank=1",         "--set", "lora.targets=[q_proj]"};
  std::ofstream half(folder_ / "half.jsonl");
  std::ifstream records(folder_ / "train.jsonl");
  std::string line;
  for (int i = 0; std::getline(records, line); ++i) half << (i % 2 == 0 ? line + "\n" : "");
  half.close();
  const auto run = [&](const std::string& name, std::vector<std::string> more) {
    more.insert(more.begin(), common.begin(), common.end());
    more.insert(more.begin(), {"--config", Recipe(name, "steps: 1", settings).string()});
    EXPECT_EQ(Run(name, more), 0) << Said(name);
    return Adapter(name);
  };
  const std::vector<float> one = run("one", {}), two = run("two", {"--nproc=2"});
  const std::vector<float> part =
      run("part", {"--set", "data.train=" + (folder_ / "half.jsonl").string()});
  EXPECT_LT(MeanSquare(two, one), MeanSquare(part, one) / 9);
}

TEST_F(RanksCommand, MatrixFactorizationAndAnAdaptiveNormWorkOnRanks) {
  std::string adaptive = kPrivate;
  adaptive.replace(
      adaptive.find("unit: record"), 12,
      "adaptive: {quantile: 0.5, rate: 0.2, count_noise_multiplier: 20}, unit: record");
  ASSERT_EQ(Run("norm", {"--config", Recipe("norm", "steps: 3", adaptive).string(), "--nproc=2"}),
            0)
      << Said("norm");
  const auto steps = Events("norm", "step");
  ASSERT_EQ(steps.size(), 3);
  EXPECT_NE(steps[0]["clip_norm"], steps[1]["clip_norm"]);
  const std::string matrix =
      "privacy: {noise_multiplier: 2, delta: 1.0e-3, clip_norm: 0.5, unit: record, neighbours: "
      "zero-out, nominal_units: 20, mechanism: matrix-factorization, bands: 2, min_separation: 4, "
      "max_participations: "
      "2, ledger: LEDGER, budget_epsilon: 50, budget_delta: 0.01}\n";
  ASSERT_EQ(Run("order", {"--config", Recipe("order", "steps: 6, batch_size: 5", matrix).string(),
                          "--nproc=2"}),
            0)
      << Said("order");
  EXPECT_EQ(Events("order", "step").size(), 6);
}

TEST_F(RanksCommand, ARefusalOfTheLedgerIsOneOfAll) {
  std::string settings = kPrivate;
  settings.replace(settings.find("budget_epsilon: 50"), 18, "budget_epsilon: 0.01");
  EXPECT_EQ(
      Run("refused", {"--config", Recipe("refused", "steps: 5", settings).string(), "--nproc=2"}),
      3);
  const std::string said = Said("refused");
  EXPECT_THAT(said, HasSubstr("error: "));
  EXPECT_EQ(said.find("error: "), said.rfind("error: ")) << said;  // told once
  EXPECT_FALSE(fs::exists(folder_ / "refused"));
}

TEST_F(RanksCommand, OneThatIsKilledEndsTheOthers) {
  const auto start = [&](const std::string& name) {
    return Start(name,
                 {"--config", Recipe(name, "steps: 1000000, batch_size: 4").string(), "--nproc=3"});
  };
  for (const std::size_t lost : {std::size_t{1}, std::size_t{0}}) {
    const std::string name = "killed" + std::to_string(lost);
    const pid_t parent = start(name);
    AwaitStep(name);
    const std::vector<pid_t> children = ChildrenOf(parent);
    ASSERT_EQ(children.size(), 3);
    const auto since = std::chrono::steady_clock::now();
    ::kill(children[lost], SIGKILL);
    EXPECT_EQ(Wait(parent), 1);
    EXPECT_LT(std::chrono::steady_clock::now() - since, std::chrono::seconds(30));
    EXPECT_THAT(Said(name),
                HasSubstr("error: rank " + std::to_string(lost) + " was lost: killed by signal 9"));
    for (const pid_t child : children) EXPECT_NE(::kill(child, 0), 0) << "still there";
    EXPECT_FALSE(fs::exists(folder_ / name));
  }
}

TEST_F(RanksCommand, OneThatIsLostWithoutAWordIsNamedByTheOthers) {
  for (const std::size_t lost : {std::size_t{1}, std::size_t{0}}) {
    const std::string run = "lost" + std::to_string(lost);
    const std::string recipe = Recipe(run, "steps: 1000000, batch_size: 4").string();
    const auto variables = Torchrun(2);
    std::vector<pid_t> ranks;
    for (std::size_t rank = 0; rank < 2; ++rank) {
      ranks.push_back(Start(run + std::to_string(rank), {"--config", recipe}, variables[rank]));
    }
    AwaitStep(run + "0");
    const auto since = std::chrono::steady_clock::now();
    ::kill(ranks[lost], SIGKILL);
    EXPECT_EQ(Wait(ranks[1 - lost]), 1);
    EXPECT_LT(std::chrono::steady_clock::now() - since, std::chrono::seconds(30));
    EXPECT_THAT(Said(run + std::to_string(1 - lost)),
                HasSubstr("rank " + std::to_string(lost) + " was lost"));
    EXPECT_EQ(Wait(ranks[lost]), -1);
    EXPECT_TRUE(Events(run + "1", "step").empty());
  }
}

TEST_F(RanksCommand, StoppedTheyKeepWhatIsDoneAndGoOnAsOne) {
  const std::string kept =
      "checkpoints: {folder: " + (folder_ / "kept").string() + ", every: 50}\n";
  const std::string recipe = Recipe("stopped", "steps: 1000000, batch_size: 4", kept).string();
  const pid_t parent = Start("stopped", {"--config", recipe, "--nproc=2"});
  AwaitStep("stopped");
  ::kill(parent, SIGTERM);
  EXPECT_EQ(Wait(parent), 1);
  EXPECT_THAT(Said("stopped"), HasSubstr("stopped by a signal after step"));
  const auto steps = static_cast<std::int64_t>(Events("stopped", "step").size());
  ASSERT_GE(steps, 1);
  const std::string more = "training.steps=" + std::to_string(steps + 2);
  const std::string folder = (folder_ / "kept").string();
  ASSERT_EQ(Run("on", {"--config", recipe, "--set", more, "--resume", folder, "--nproc=3"}), 0)
      << Said("on");
  EXPECT_EQ(Events("on", "step").size(), 2);
  const std::vector<float> resumed = Adapter("stopped");
  fs::remove_all(folder_ / "stopped");
  fs::remove_all(folder_ / "kept");
  ASSERT_EQ(Run("whole", {"--config", recipe, "--set", more}), 0) << Said("whole");
  EXPECT_LT(Furthest(resumed, Adapter("stopped")), 1e-4);
}

// Waiting may take minutes, in calls that no signal reaches.
TEST_F(RanksCommand, OneThatWaitsForTheOthersSaysSoAndCanBeStopped) {
  const LoopbackSocket nobody = BindLoopback();  // does not listen
  const pid_t rank =
      Start("alone", {"--config", Recipe("alone", "steps: 4, batch_size: 3").string()},
            {{"RANK", "1"},
             {"WORLD_SIZE", "2"},
             {"MASTER_ADDR", "127.0.0.1"},
             {"MASTER_PORT", std::to_string(nobody.port)}});
  for (int look = 0; look < 3000 && Said("alone").find("waiting") == std::string::npos; ++look) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_THAT(Said("alone"), HasSubstr("waiting for the other ranks: rank 1 of 2"));
  ::kill(rank, SIGTERM);
  EXPECT_EQ(Wait(rank), 1);
  EXPECT_THAT(Said("alone"), HasSubstr("stopped by a signal while waiting"));
  ::close(nobody.descriptor);
}

TEST_F(RanksCommand, OtherRecordsOnARankAreRefused) {
  const auto variables = Torchrun(2);
  const std::string recipe = Recipe("other", "steps: 2", kPrivate).string();
  WriteRecords("others.jsonl", 20, 1);
  const pid_t first = Start("rank0", {"--config", recipe}, variables[0]);
  const pid_t second = Start(
      "rank1", {"--config", recipe, "--set", "data.train=" + (folder_ / "others.jsonl").string()},
      variables[1]);
  EXPECT_EQ(Wait(first), 1);
  EXPECT_EQ(Wait(second), 1);
  EXPECT_THAT(Said("rank0"), HasSubstr("rank 1 has another training file than rank 0"));
  const auto ledger = dp::Ledger::Open(folder_ / "other.sqlite");
  ASSERT_TRUE(ledger);
  EXPECT_TRUE((*ledger)->Rows().value().empty());  // before anything was spent
}

TEST_F(RanksCommand, WrongUseIsSaidBeforeAnythingStarts) {
  const std::string recipe = Recipe("wrong", "steps: 2, batch_size: 4").string();
  EXPECT_EQ(Run("none", {"--config", recipe, "--nproc=0"}), 2);
  EXPECT_EQ(Wait(Start("nested", {"--config", recipe, "--nproc=2"}, Torchrun(2)[0])), 2);
  EXPECT_THAT(Said("nested"), HasSubstr("RANK is set"));
  EXPECT_EQ(Wait(Start("half", {"--config", recipe}, {{"RANK", "0"}})), 2);
  EXPECT_THAT(Said("half"), HasSubstr("WORLD_SIZE is missing"));
}

}  // namespace
}  // namespace cloister::trainer
