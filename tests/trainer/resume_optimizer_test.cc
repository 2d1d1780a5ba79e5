// What a run's optimizer and the average of its parameters keep in a checkpoint, and which
// parameters a run ends with.
#include <cmath>
#include <cstring>
#include <map>

#include "tests/trainer/resume_case.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/run/matrix_plan.h"

namespace cloister::trainer {
namespace {

class ResumeOptimizerTest : public ResumeTest {
 protected:
  CheckpointFile Newest() const {
    return CheckpointFolder::Open(recipe_.checkpoints->folder, 9)->Newest().value();
  }
  double NoiseVariance() const {
    const CheckpointFile file = Newest();
    double variance = 0;
    std::memcpy(&variance, file.Array("noise_variance", sizeof variance).value().data(),
                sizeof variance);
    return variance;
  }
  // Held-out losses by the step that they were taken after.
  std::map<std::int64_t, double> Losses() const {
    std::map<std::int64_t, double> losses;
    std::int64_t step = 0;
    for (const auto& event : events_) {
      if (event["event"] == "step") step = event["step"];
      if (event["event"] == "eval") losses[step] = event["loss"];
    }
    return losses;
  }
  void Evaluate(std::int64_t every) {
    WriteRecords("eval.jsonl", 2);
    recipe_.data.eval = folder_ / "eval.jsonl";
    recipe_.training.eval_every = every;
  }
  void Again() const {
    fs::remove_all(recipe_.output);
    fs::remove_all(recipe_.checkpoints->folder);
  }
};

TEST_F(ResumeOptimizerTest, EveryKindGoesOnToTheBit) {
  for (const OptimizerOptions& options :
       {OptimizerOptions{.kind = OptimizerKind::kAdamW8Bit, .learning_rate = 1e-2},
        {.kind = OptimizerKind::kSgd, .learning_rate = 0.1, .momentum = 0.9, .nesterov = true},
        {.kind = OptimizerKind::kSgd, .learning_rate = 0.1}}) {
    for (const bool averaged : {false, true}) {
      recipe_.optimizer = options;
      recipe_.training.ema_decay.reset();
      if (averaged) recipe_.training.ema_decay = 0.5;
      Again();
      ASSERT_TRUE(Run(kSteps));
      const std::string whole = Adapter();
      Again();
      ASSERT_FALSE(Run(3));
      ASSERT_TRUE(Run(kSteps, true));
      EXPECT_EQ(events_.front()["step"], 4);
      EXPECT_EQ(Adapter(), whole) << OptimizerName(options.kind) << averaged;
    }
  }
}

// The average is what is shown and what is left, at little decay nearly the parameters.
TEST_F(ResumeOptimizerTest, TheAverageIsEvaluatedAndKept) {
  Evaluate(4);
  ASSERT_TRUE(Run(kSteps + 1));
  const std::string last = Adapter();
  const std::map<std::int64_t, double> of_last = Losses();
  recipe_.training.ema_decay = 0.9;
  Again();
  ASSERT_TRUE(Run(kSteps + 1));
  const std::string average = Adapter();
  EXPECT_NE(average, last);
  EXPECT_EQ(Losses().at(0), of_last.at(0));
  EXPECT_NE(Losses().at(4), of_last.at(4));
  EXPECT_NE(Losses().at(8), of_last.at(8));
  recipe_.training.ema_decay = 0;
  Again();
  ASSERT_TRUE(Run(kSteps + 1));
  EXPECT_NEAR(Losses().at(8), of_last.at(8), 1e-5);
}

TEST_F(ResumeOptimizerTest, AnotherOptimizerOrDecayIsRefused) {
  ASSERT_FALSE(Run(3));
  recipe_.training.ema_decay = 0.5;
  ExpectRefusedToResume(base::Code::kInvalidArgument, "ema_decay");
  recipe_.training.ema_decay.reset();
  recipe_.optimizer.kind = OptimizerKind::kAdamW8Bit;
  ExpectRefusedToResume(base::Code::kInvalidArgument, "adamw_8bit");
  recipe_.optimizer.kind = OptimizerKind::kAdamW;
  recipe_.training.loss_mean = LossMean::kExample;
  ExpectRefusedToResume(base::Code::kInvalidArgument, "loss_mean");
}

// The noise of a step is (sigma C / nominal batch)^2, and its mean is Adam's, over a stop.
TEST_F(ResumeOptimizerTest, TheNoiseThatWasUsedIsInTheCheckpoint) {
  MakePrivate();
  recipe_.optimizer.noise_bias_floor = 1e-8;
  const double deviation = 2 * 0.5 / (0.3 * 20);
  ASSERT_FALSE(Run(3));
  const auto mean = [&](double steps) {
    return deviation * deviation * (1 - std::pow(recipe_.optimizer.beta2, steps));
  };
  EXPECT_NEAR(NoiseVariance(), mean(3), 1e-9 * mean(3));
  ASSERT_TRUE(Run(kSteps, true));
  EXPECT_NEAR(NoiseVariance(), mean(kSteps), 1e-9 * mean(kSteps));
}

// With a clip norm that moves it is the norm's that each step was cut to.
TEST_F(ResumeOptimizerTest, TheNoiseFollowsTheClipNorm) {
  MakePrivate();
  recipe_.optimizer.noise_bias_floor = 1e-8;
  recipe_.privacy->adaptive =
      Recipe::AdaptiveNorm{.quantile = 0.5, .rate = 0.5, .count_noise_multiplier = 10};
  ASSERT_TRUE(Run(kSteps));
  double norm = recipe_.privacy->clip_norm, mean = 0;
  for (const auto& event : events_) {
    if (event["event"] != "step") continue;
    const double deviation = 2 * norm / (0.3 * 20);
    mean += (1 - recipe_.optimizer.beta2) * (deviation * deviation - mean);
    norm = event["clip_norm"];
  }
  EXPECT_NE(norm, recipe_.privacy->clip_norm);
  EXPECT_NEAR(NoiseVariance(), mean, 1e-6 * mean);
}

// What a run releases, of no signal to speak of.
class Listener : public RunProbe {
 public:
  base::Status Start(const PrivacyPlan& plan, std::int64_t /*parameters*/) override {
    plan_ = plan;
    return {};
  }
  std::span<const dp::audit::Canary> units() const override { return {}; }
  void Released(std::span<const double> sum) override {
    double squares = 0;
    for (const double value : sum) squares += value * value;
    squares_.push_back(squares / static_cast<double>(sum.size()));
  }
  std::optional<PrivacyPlan> plan_;
  std::vector<double> squares_;
};

TEST_F(ResumeOptimizerTest, TheNoiseIsTheOneThatIsReleased) {
  for (const bool matrix : {false, true}) {
    if (matrix) {
      MakeMatrix();
    } else {
      MakePrivate();
    }
    recipe_.optimizer.noise_bias_floor = 1e-8;
    recipe_.privacy->noise_multiplier = 20;
    recipe_.privacy->ledger = folder_ / (matrix ? "m.sqlite" : "p.sqlite");
    Again();
    Listener listener;
    RunOptions options;
    options.probe = &listener;
    const base::Status ended = RunTraining(
        recipe_, [](const auto&) {}, options);
    ASSERT_TRUE(ended) << ended.error().message;
    ASSERT_EQ(listener.squares_.size(), static_cast<std::size_t>(kSteps));
    const double batch = matrix ? 5 : 0.3 * 20;
    const double deviation = 20 * 0.5 / batch;
    const std::vector<double> correlation =
        matrix ? NoiseCorrelation(*listener.plan_->matrix) : std::vector<double>(kSteps, 1.0);
    double mean = 0;
    for (std::size_t step = 0; step < correlation.size(); ++step) {
      const double variance = deviation * deviation * correlation[step];
      EXPECT_NEAR(listener.squares_[step] / (batch * batch) / variance, 1, 0.35) << step;
      mean += (1 - recipe_.optimizer.beta2) * (variance - mean);
    }
    if (matrix) {
      const auto [least, most] = std::minmax_element(correlation.begin(), correlation.end());
      EXPECT_GT(*most, 1.5 * *least);
    }
    EXPECT_NEAR(NoiseVariance(), mean, 1e-9 * mean);
  }
}

// At a rate so high that the last step is not the best one.
TEST_F(ResumeOptimizerTest, TheBestCheckpointIsKeptAndTaken) {
  Evaluate(1);
  recipe_.checkpoints->every = 100;
  recipe_.checkpoints->keep = 1;
  recipe_.checkpoints->keep_best = true;
  std::map<std::int64_t, double> losses;
  auto best = losses.end();
  for (const double rate : {1.0, 3.0, 10.0, 30.0}) {
    recipe_.optimizer.learning_rate = rate;
    Again();
    ASSERT_TRUE(Run(kSteps + 1));
    losses = Losses();
    losses.erase(0);
    best = std::min_element(losses.begin(), losses.end(),
                            [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best->first < kSteps) break;
  }
  ASSERT_LT(best->first, kSteps) << "no rate was too high";
  EXPECT_EQ(Newest().header().step, kSteps);
  ASSERT_TRUE(Newest().header().best);
  EXPECT_EQ(Newest().header().best->step, best->first);
  EXPECT_EQ(Newest().header().best->loss, best->second);
  EXPECT_TRUE(fs::exists(recipe_.checkpoints->folder /
                         ("step-00000000" + std::to_string(best->first) + ".checkpoint")));
  const std::string last = Adapter();
  // As the output, over a stop, it is the run of so many steps.
  recipe_.checkpoints->load_best_at_end = true;
  Again();
  ASSERT_FALSE(Run(kSteps - 1));
  ASSERT_TRUE(Run(kSteps + 1, true));
  EXPECT_EQ(events_.back()["best_step"], best->first);
  const std::string taken = Adapter();
  EXPECT_NE(taken, last);
  recipe_.checkpoints->load_best_at_end = false;
  recipe_.training.steps = best->first;
  Again();
  ASSERT_TRUE(Run(kSteps + 1));
  EXPECT_EQ(Adapter(), taken);
}

// The run goes on where a checkpoint cannot be written, and ends.
TEST_F(ResumeOptimizerTest, AFolderThatGoesAwayStopsNoRun) {
  RunOptions options;
  const base::Status ended = RunTraining(
      recipe_,
      [&](const nlohmann::ordered_json& event) {
        if (event["event"] != "step" || event["step"] != 3) return;
        fs::rename(recipe_.checkpoints->folder, folder_ / "gone");
      },
      options);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_TRUE(fs::exists(recipe_.output / "adapter_model.safetensors"));
}

}  // namespace
}  // namespace cloister::trainer
