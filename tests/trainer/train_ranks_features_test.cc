// What a recipe asks for beside the training itself works on several processes as on one.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "dp/ledger/ledger.h"
#include "tests/trainer/ranks_command.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;

// The output is the average's of the best step, and its figures are asked for once.
TEST_F(RanksCommand, KeepTheBestOfAnAverageAndJudgeIt) {
  const std::string training = "steps: 5, batch_size: 5, ema_decay: 0.5, eval_every: 1";
  const auto run = [&](const std::string& name, std::vector<std::string> more) {
    const std::string sections =
        "evaluation: {perplexity: " + (folder_ / "eval.jsonl").string() +
        "}\ncheckpoints: {every: 2, keep_best: true, load_best_model_at_end: true, folder: " +
        (folder_ / (name + "-kept")).string() + "}\n";
    more.insert(more.begin(), {"--config", Recipe(name, training, sections).string(), "--set",
                               "optimizer.name=sgd", "--set", "optimizer.momentum=0.5", "--set",
                               "optimizer.learning_rate=1"});
    EXPECT_EQ(Run(name, more), 0) << Said(name);
    return Adapter(name);
  };
  const std::vector<float> one = run("one", {}), two = run("two", {"--nproc=2"});
  EXPECT_LT(Furthest(two, one), 1e-4);
  const auto done = Events("two", "done");
  ASSERT_EQ(done.size(), 1);
  EXPECT_EQ(done[0]["best_step"], Events("one", "done")[0]["best_step"]);
  EXPECT_EQ(Events("two", "eval").size(), 6);
  const auto judged = Events("two", "evaluation");
  ASSERT_EQ(judged.size(), 2);
  EXPECT_NEAR(judged[1]["perplexity"], Events("one", "evaluation")[1]["perplexity"], 1e-2);
  for (const char* name : {"report.html", "README.md", "recipe.yaml", "events.jsonl"}) {
    EXPECT_TRUE(fs::exists(folder_ / "two" / name)) << name;
  }
}

TEST_F(RanksCommand, PackOrDropOutAndKeepMomentsInBytesAsOneProcess) {
  for (const std::string setting : {"data.packing=true", "lora.dropout=0.3"}) {
    const auto run = [&](const std::string& name, std::vector<std::string> more) {
      more.insert(more.begin(), {"--config", Recipe(name, "steps: 2, batch_size: 5").string(),
                                 "--set", "optimizer.name=adamw_8bit", "--set", setting});
      EXPECT_EQ(Run(name, more), 0) << Said(name);
      return Adapter(name);
    };
    const std::vector<float> one = run("one", {}), two = run("two", {"--nproc=2"});
    const auto of_one = Events("one", "step"), of_two = Events("two", "step");
    ASSERT_EQ(of_one.size(), 2);
    ASSERT_EQ(of_two.size(), 2);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(of_two[i]["loss"], of_one[i]["loss"], 1e-4);
    EXPECT_LT(MeanSquare(two, one), 1e-8);
    fs::remove_all(folder_ / "one");
    fs::remove_all(folder_ / "two");
  }
}

// Users of several records each, of which some take part; what is kept of the optimizer goes from
// two ranks to three, and no step is debited twice.
TEST_F(RanksCommand, PrivateRunsOfUsersGoOnOnOtherRanks) {
  constexpr std::int64_t kSteps = 150;
  std::ofstream data(folder_ / "users.jsonl");
  for (int i = 0; i < 60; ++i) {
    data << R"({"unit": "u)" << i % 20 << R"(", "messages": [{"role": "user", "content": ")" << i
         << R"("}, {"role": "assistant", "content": "it is )" << i * i << "\"}]}\n";
  }
  data.close();
  const std::string sections =
      "privacy: {noise_multiplier: 5, delta: 1.0e-3, clip_norm: 0.5, sampling_rate: 0.2, unit: "
      "user, max_records_per_unit: 2, neighbours: add-or-remove-one, nominal_units: 20, ledger: "
      "LEDGER, budget_epsilon: 50, budget_delta: 0.01}\ncheckpoints: {every: 5, folder: " +
      (folder_ / "kept").string() + "}\n";
  const std::string training =
      "steps: " + std::to_string(kSteps) + ", ema_decay: 0.5, eval_every: 10";
  const std::vector<std::string> words = {
      "--config", Recipe("users", training, sections).string(),
      "--set",    "data.train=" + (folder_ / "users.jsonl").string(),
      "--set",    "optimizer.name=adamw_8bit",
      "--set",    "optimizer.noise_bias_correction=true",
      "--set",    "optimizer.noise_bias_floor=1.0e-9"};
  const auto with = [&words](const std::vector<std::string>& more) {
    std::vector<std::string> all = words;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const pid_t parent = Start("stopped", with({"--nproc=2"}));
  AwaitStep("stopped");
  ::kill(parent, SIGTERM);
  ASSERT_EQ(Wait(parent), 1) << Said("stopped");
  const auto before = static_cast<std::int64_t>(Events("stopped", "step").size());
  ASSERT_EQ(Run("on", with({"--resume", (folder_ / "kept").string(), "--nproc=3"})), 0)
      << Said("on");
  EXPECT_EQ(static_cast<std::int64_t>(Events("on", "step").size()), kSteps - before);
  const auto ledger = dp::Ledger::Open(folder_ / "users.sqlite");
  ASSERT_TRUE(ledger);
  const auto rows = (*ledger)->Rows().value();
  EXPECT_EQ(static_cast<std::int64_t>(rows.size()), kSteps);
  std::set<std::int64_t> rounds;
  for (const auto& row : rows) rounds.insert(row.spend.key.round);
  EXPECT_EQ(static_cast<std::int64_t>(rounds.size()), kSteps);
  EXPECT_TRUE(fs::exists(folder_ / "users" / "report.html"));
}

}  // namespace
}  // namespace cloister::trainer
