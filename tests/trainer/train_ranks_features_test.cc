// What a recipe asks for beside the training itself works on several processes as on one.
#include <gtest/gtest.h>

#include <string>
#include <vector>

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

}  // namespace
}  // namespace cloister::trainer
