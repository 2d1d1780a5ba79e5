// Full fine-tuning with sharded parameters, from the command line: what it leaves is what whole
// ones leave, and all that goes with a run works.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "dp/ledger/ledger.h"
#include "tests/trainer/ranks_command.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string kSharded = ", shard_parameters: true";

class ShardedCommand : public RanksCommand {
 protected:
  // As Recipe(), of all weights.
  std::string Full(const std::string& name, const std::string& training,
                   const std::string& more = {}) const {
    const fs::path path = Recipe(name, training, more);
    std::string text = base::ReadFile(path).value();
    const std::size_t from = text.find("lora: "), to = text.find("optimizer: ");
    text.replace(from, to - from, "method: full\n");
    std::ofstream(path) << text;
    return path.string();
  }
  std::vector<float> Weights(const std::string& name) const {
    const auto files = model::ModelFiles::Open(folder_ / name);
    EXPECT_TRUE(files) << Said(name);
    if (!files) return {};
    const auto model = TrainableModel::Load(**files, std::nullopt);
    EXPECT_TRUE(model);
    return {(*model)->values().begin(), (*model)->values().end()};
  }
  // Steps in proportion to the gradient, so that roundings stay roundings.
  static std::vector<std::string> With(const std::string& recipe,
                                       const std::vector<std::string>& more) {
    std::vector<std::string> words = {"--config", recipe,
                                      "--set",    "optimizer.name=sgd",
                                      "--set",    "optimizer.momentum=0.5",
                                      "--set",    "optimizer.learning_rate=0.1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

TEST_F(ShardedCommand, TrainsWhatWholeParametersDo) {
  const std::string training = "steps: 4, batch_size: 3";
  ASSERT_EQ(Run("one", With(Full("one", training), {})), 0) << Said("one");
  ASSERT_EQ(Run("whole", With(Full("whole", training), {"--nproc=2"})), 0) << Said("whole");
  const std::vector<float> one = Weights("one"), whole = Weights("whole");
  for (const int ranks : {2, 4}) {  // of 4 ranks one has none of a batch of 3
    const std::string name = "of" + std::to_string(ranks);
    ASSERT_EQ(Run(name, With(Full(name, training + kSharded), {"--nproc", std::to_string(ranks)})),
              0)
        << Said(name);
    EXPECT_LT(Furthest(Weights(name), one), 1e-5);
    if (ranks == 2) {
      EXPECT_EQ(Weights(name), whole);  // to the bit
    }
    ExpectLossesOf(name, "one", 4);
  }
  EXPECT_GT(Furthest(one, Weights("model")), 1e-3);
}

// Private steps draw noise of their own, beside which the sum of all units shows.
TEST_F(ShardedCommand, PrivateRunsMoveAsOneProcessAndDebitOnce) {
  const std::string settings =
      "privacy: {noise_multiplier: 0.3, delta: 5.0e-4, clip_norm: 0.5, sampling_rate: 1, unit: "
      "record, neighbours: add-or-remove-one, nominal_units: 120, ledger: LEDGER, budget_epsilon: "
      "50, budget_delta: 0.001}\n";
  WriteRecords("train.jsonl", 120, 0);
  WriteRecords("eval.jsonl", 3, 1000);
  const auto run = [&](const std::string& name, const std::string& training,
                       const std::vector<std::string>& more) {
    EXPECT_EQ(Run(name, With(Full(name, training, settings), more)), 0) << Said(name);
    return Weights(name);
  };
  const std::vector<float> one = run("one", "steps: 1", {});
  const std::vector<float> two = run("two", "steps: 1" + kSharded, {"--nproc=2"});
  ASSERT_EQ(two.size(), one.size());
  // Without one rank's units, as a broken sum would be.
  std::ofstream half(folder_ / "half.jsonl");
  std::ifstream records(folder_ / "train.jsonl");
  std::string line;
  for (int i = 0; std::getline(records, line); ++i) half << (i % 2 == 0 ? line + "\n" : "");
  half.close();
  const std::vector<float> part =
      run("part", "steps: 1", {"--set", "data.train=" + (folder_ / "half.jsonl").string()});
  // Along what one process moved by, where noise is small beside the units' sum.
  const std::vector<float> start = Weights("model");
  const auto along = [&](const std::vector<float>& end) {
    double sum = 0;
    for (std::size_t i = 0; i < start.size(); ++i) {
      sum += double{end[i] - start[i]} * double{one[i] - start[i]};
    }
    return sum;
  };
  ASSERT_EQ(part.size(), start.size());
  EXPECT_NEAR(along(two) / along(part), 2, 0.3);
  const auto ledger = dp::Ledger::Open(folder_ / "two.sqlite");
  ASSERT_TRUE(ledger);
  ASSERT_EQ((*ledger)->Rows().value().size(), 1);
  ASSERT_EQ(Events("two", "step").size(), 1);
  EXPECT_EQ(Events("two", "step")[0]["epsilon"], Events("one", "step")[0]["epsilon"]);
}

TEST_F(ShardedCommand, KeepTheBestOfAnAverageAndJudgeIt) {
  const std::string training =
      "steps: 5, batch_size: 5, ema_decay: 0.5, eval_every: 1, precision: bf16";
  const auto run = [&](const std::string& name, const std::string& sharded,
                       const std::vector<std::string>& more) {
    const std::string sections =
        "evaluation: {perplexity: " + (folder_ / "eval.jsonl").string() +
        "}\ncheckpoints: {every: 2, keep_best: true, load_best_model_at_end: true, folder: " +
        (folder_ / (name + "-kept")).string() + "}\n";
    EXPECT_EQ(Run(name, With(Full(name, training + sharded, sections), more)), 0) << Said(name);
    return Weights(name);
  };
  const std::vector<float> whole = run("whole", "", {"--nproc=2"});
  EXPECT_EQ(run("two", kSharded, {"--nproc=2"}), whole);
  const auto done = Events("two", "done");
  ASSERT_EQ(done.size(), 1);
  EXPECT_EQ(done[0]["best_step"], Events("whole", "done")[0]["best_step"]);
  EXPECT_EQ(Events("two", "eval").size(), 6);
  const auto judged = Events("two", "evaluation");
  ASSERT_EQ(judged.size(), 2);
  EXPECT_EQ(judged[1]["perplexity"], Events("whole", "evaluation")[1]["perplexity"]);
  EXPECT_TRUE(fs::exists(folder_ / "two" / "report.html"));
}

// What two ranks kept three go on from, and one, which has all parameters.
TEST_F(ShardedCommand, StoppedTheyGoOnAsAnyNumber) {
  const std::string kept =
      "checkpoints: {folder: " + (folder_ / "kept").string() + ", every: 50}\n";
  const std::string recipe = Full("stopped", "steps: 1000000, batch_size: 4" + kSharded, kept);
  const pid_t parent = Start("stopped", With(recipe, {"--nproc=2"}));
  AwaitStep("stopped");
  ::kill(parent, SIGTERM);
  EXPECT_EQ(Wait(parent), 1);
  EXPECT_THAT(Said("stopped"), HasSubstr("stopped by a signal after step"));
  const auto steps = static_cast<std::int64_t>(Events("stopped", "step").size());
  ASSERT_GE(steps, 1);
  const std::string more = "training.steps=" + std::to_string(steps + 2);
  fs::copy(folder_ / "kept", folder_ / "again", fs::copy_options::recursive);
  ASSERT_EQ(Run("on", With(recipe,
                           {"--set", more, "--resume", (folder_ / "kept").string(), "--nproc=3"})),
            0)
      << Said("on");
  EXPECT_EQ(Events("on", "step").size(), 2);
  const std::vector<float> resumed = Weights("stopped");
  fs::remove_all(folder_ / "stopped");
  ASSERT_EQ(Run("alone", With(recipe, {"--set", more, "--resume", (folder_ / "again").string()})),
            0)
      << Said("alone");
  EXPECT_LT(Furthest(Weights("stopped"), resumed), 1e-5);
}

// Private or not: with what was debited on record.
TEST_F(ShardedCommand, OneThatIsKilledEndsTheOthers) {
  const std::string settings =
      "privacy: {noise_multiplier: 20, delta: 5.0e-4, clip_norm: 0.5, sampling_rate: 0.2, unit: "
      "record, neighbours: add-or-remove-one, nominal_units: 20, ledger: LEDGER, budget_epsilon: "
      "50, budget_delta: 0.001}\n";
  const std::string plain = Full("plain", "steps: 1000000, batch_size: 4" + kSharded);
  const std::string secret = Full("private", "steps: 20000" + kSharded, settings);
  const std::map<std::string, std::string> recipes = {{"plain", plain}, {"private", secret}};
  for (const auto& [name, recipe] : recipes) {
    for (const std::size_t lost : {std::size_t{1}, std::size_t{0}}) {
      const std::string log = name + std::to_string(lost);
      SCOPED_TRACE(log);
      const pid_t parent = Start(log, With(recipe, {"--nproc=3"}));
      AwaitStep(log);
      const std::vector<pid_t> children = ChildrenOf(parent);
      ASSERT_EQ(children.size(), 3) << Said(log);
      const auto since = std::chrono::steady_clock::now();
      ::kill(children[lost], SIGKILL);
      EXPECT_EQ(Wait(parent), 1);
      EXPECT_LT(std::chrono::steady_clock::now() - since, std::chrono::seconds(30));
      EXPECT_THAT(Said(log), HasSubstr("error: rank " + std::to_string(lost) +
                                       " was lost: killed by signal 9"));
      for (const pid_t child : children) EXPECT_NE(::kill(child, 0), 0) << "still there";
      EXPECT_FALSE(fs::exists(folder_ / name));
    }
  }
  const auto ledger = dp::Ledger::Open(folder_ / "private.sqlite");
  ASSERT_TRUE(ledger);
  EXPECT_GE((*ledger)->Rows().value().size(),
            Events("private1", "step").size() + Events("private0", "step").size());
}

TEST_F(ShardedCommand, AnAdapterIsNotSharded) {
  EXPECT_EQ(Run("adapter", {"--config", Recipe("adapter", "steps: 1, batch_size: 2").string(),
                            "--set", "training.shard_parameters=true"}),
            2);
  EXPECT_THAT(Said("adapter"), HasSubstr("'training.shard_parameters' goes with 'method: full'"));
}

}  // namespace
}  // namespace cloister::trainer
