// Runs that end and go on: no step is debited twice, none is executed twice, and without privacy
// nothing shows that a run ever stopped.
#include "tests/trainer/resume_case.h"
#include "trainer/run/matrix_plan.h"

namespace cloister::trainer {
namespace {

TEST_F(ResumeTest, WithoutPrivacyARunThatStoppedIsTheSameToTheBit) {
  recipe_.schedule = {.shape = Schedule::Shape::kCosine, .warmup_steps = 2};
  ASSERT_TRUE(Run(kSteps));
  const std::string whole = Adapter();
  fs::remove_all(recipe_.output);
  for (const std::int64_t stop : {1, 2, 5}) {
    fs::remove_all(recipe_.checkpoints->folder);
    const base::Status stopped = Run(stop);
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, base::Code::kCancelled);
    EXPECT_THAT(stopped.error().message, HasSubstr("--resume"));
    const base::Status ended = Run(kSteps, true);
    ASSERT_TRUE(ended) << ended.error().message;
    EXPECT_EQ(events_.front()["step"], stop + 1);
    EXPECT_EQ(Adapter(), whole);
    const std::string log = base::ReadFile(recipe_.output / "events.jsonl").value();
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), kSteps + 1);
    fs::remove_all(recipe_.output);
  }
  // The comparison sees one step less.
  fs::remove_all(recipe_.checkpoints->folder);
  recipe_.training.steps = kSteps - 1;
  ASSERT_TRUE(Run(kSteps));
  EXPECT_NE(Adapter(), whole);
}

// Killed: what was done after the last checkpoint is done again, to the same bits.
TEST_F(ResumeTest, WithoutPrivacyAKilledRunDoesItsLastStepsAgain) {
  ASSERT_TRUE(Run(kSteps));
  const std::string whole = Adapter();
  fs::remove_all(recipe_.output);
  for (const auto& entry : fs::directory_iterator(recipe_.checkpoints->folder)) {
    if (entry.path().filename().string().find("8.checkpoint") != std::string::npos) {
      fs::remove(entry.path());
    }
  }
  ASSERT_TRUE(Run(kSteps, true));
  EXPECT_EQ(events_.front()["step"], 7);
  EXPECT_EQ(Adapter(), whole);
}

TEST_F(ResumeTest, WithPrivacyEachStepIsDebitedOnceInOneJob) {
  MakePrivate();
  ASSERT_TRUE(Run(kSteps));
  const double epsilon = events_.back()["epsilon"];
  fs::remove_all(recipe_.output);
  fs::remove_all(recipe_.checkpoints->folder);
  recipe_.privacy->ledger = folder_ / "other.sqlite";
  ASSERT_FALSE(Run(3));
  ASSERT_TRUE(Run(kSteps, true));
  EXPECT_EQ(events_.front()["step"], 4);
  EXPECT_EQ(events_.back()["epsilon"], epsilon);
  EXPECT_EQ(Rounds(), (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(Jobs().size(), 1U);
}

// Steps whose results were lost stay paid for, and are not taken again.
TEST_F(ResumeTest, WithPrivacyLostStepsCountAsTaken) {
  MakePrivate();
  ASSERT_FALSE(Run(2));
  fs::copy(recipe_.checkpoints->folder, folder_ / "older", fs::copy_options::recursive);
  ASSERT_FALSE(Run(3, true));  // to step 5
  fs::remove_all(recipe_.checkpoints->folder);
  fs::rename(folder_ / "older", recipe_.checkpoints->folder);
  ASSERT_TRUE(Run(kSteps, true));
  EXPECT_EQ(events_.front()["event"], "resumed");
  EXPECT_EQ(events_.front()["lost"], 3);
  EXPECT_EQ(events_[1]["step"], 6);
  EXPECT_EQ(Rounds(), (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  // Two copies of one checkpoint share the plan: what one has spent the other leaves out.
  fs::remove_all(recipe_.output);
  ASSERT_TRUE(Run(kSteps, true));
  EXPECT_EQ(events_.back()["event"], "done");
  EXPECT_LE(events_.size(), 2U);
  EXPECT_EQ(Rounds().size(), static_cast<std::size_t>(kSteps));
}

TEST_F(ResumeTest, WithPrivacyNoiseAndDrawsAreFresh) {
  MakePrivate();
  ASSERT_FALSE(Run(2));
  fs::copy(recipe_.checkpoints->folder, folder_ / "older", fs::copy_options::recursive);
  fs::copy_file(recipe_.privacy->ledger, folder_ / "saved.sqlite");
  std::vector<std::string> adapters;
  for (int i = 0; i < 2; ++i) {
    fs::copy_file(folder_ / "saved.sqlite", recipe_.privacy->ledger,
                  fs::copy_options::overwrite_existing);
    fs::remove_all(recipe_.checkpoints->folder);
    fs::copy(folder_ / "older", recipe_.checkpoints->folder, fs::copy_options::recursive);
    ASSERT_TRUE(Run(kSteps, true));
    adapters.push_back(Adapter());
    fs::remove_all(recipe_.output);
  }
  EXPECT_NE(adapters[0], adapters[1]);
}

TEST_F(ResumeTest, CorrelatedNoiseGoesOnAfterTheLastReleasedStep) {
  MakeMatrix();
  recipe_.checkpoints->keep = 9;
  ASSERT_FALSE(Run(1));
  ASSERT_FALSE(Run(2, true));  // to step 3
  EXPECT_EQ(events_.front()["step"], 2);
  // As after a kill: the last checkpoint is older than the last release.
  fs::remove(recipe_.checkpoints->folder / "step-000000003.checkpoint");
  fs::remove(recipe_.checkpoints->folder / "step-000000002.checkpoint");
  const base::Status ended = Run(kSteps, true);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(events_[1]["step"], 4);
  EXPECT_EQ(Rounds(), std::vector<std::int64_t>{0});
  const auto ledger = dp::Ledger::Open(recipe_.privacy->ledger).value();
  EXPECT_EQ(ledger->LastStep(*Jobs().begin()).value(), kSteps);
}

// Without the rows of the steps that were released since, nothing may go on.
TEST_F(ResumeTest, CorrelatedNoiseWithoutItsRowsIsRefused) {
  MakeMatrix();
  ASSERT_FALSE(Run(1));
  fs::copy(recipe_.checkpoints->folder, folder_ / "older", fs::copy_options::recursive);
  ASSERT_FALSE(Run(2, true));
  fs::remove_all(recipe_.checkpoints->folder);
  fs::rename(folder_ / "older", recipe_.checkpoints->folder);
  ExpectRefusedToResume(base::Code::kFailedPrecondition, "none may be executed again");
}

TEST_F(ResumeTest, AnotherRecipeModelFileOrLedgerIsRefusedByName) {
  MakePrivate();
  ASSERT_FALSE(Run(3));
  const Recipe right = recipe_;
  recipe_.privacy->noise_multiplier = 1;
  ExpectRefusedToResume(base::Code::kInvalidArgument, "privacy:  noise_multiplier");
  recipe_ = right;
  recipe_.optimizer.learning_rate = 1;
  ExpectRefusedToResume(base::Code::kInvalidArgument, "optimizer:  learning_rate");
  recipe_ = right;
  recipe_.privacy->ledger = folder_ / "fresh.sqlite";
  ExpectRefusedToResume(base::Code::kFailedPrecondition, "there is no ledger");
  EXPECT_FALSE(fs::exists(recipe_.privacy->ledger)) << "nor is one made";
  ASSERT_TRUE(dp::Ledger::Open(recipe_.privacy->ledger));
  ExpectRefusedToResume(base::Code::kFailedPrecondition, "not written with this ledger");
  recipe_ = right;
  recipe_.checkpoints.reset();
  ExpectRefusedToResume(base::Code::kInvalidArgument, "checkpoints");
  recipe_ = right;
  WriteRecords("other.jsonl", 21);
  recipe_.data.train = folder_ / "other.jsonl";
  ExpectRefusedToResume(base::Code::kFailedPrecondition, "another training file");
  recipe_ = right;
  fs::copy(folder_ / "model", folder_ / "else");
  std::ofstream(folder_ / "else" / "config.json", std::ios::app) << " ";
  recipe_.model = folder_ / "else";
  ExpectRefusedToResume(base::Code::kFailedPrecondition, "another model");
  recipe_ = right;
  EXPECT_EQ(Rounds().size(), 3U);  // no refusal spent anything
  recipe_.training.threads = 2;    // may change
  EXPECT_TRUE(Run(kSteps, true));
}

// An older copy of the ledger would let steps pass that it does not know of.
TEST_F(ResumeTest, AnOlderLedgerIsRefused) {
  for (const bool matrix : {false, true}) {
    if (matrix) {
      MakeMatrix();
    } else {
      MakePrivate();
    }
    recipe_.privacy->ledger = folder_ / (matrix ? "m.sqlite" : "p.sqlite");
    recipe_.checkpoints->folder = folder_ / "checkpoints";
    fs::remove_all(recipe_.checkpoints->folder);
    const fs::path saved = folder_ / "saved.sqlite";
    ASSERT_TRUE(dp::Ledger::Open(recipe_.privacy->ledger));  // with its key, before any spend
    fs::copy_file(recipe_.privacy->ledger, saved, fs::copy_options::overwrite_existing);
    ASSERT_TRUE(Run(kSteps));
    fs::remove_all(recipe_.output);
    fs::copy_file(saved, recipe_.privacy->ledger, fs::copy_options::overwrite_existing);
    ExpectRefusedToResume(base::Code::kFailedPrecondition, "not an older copy");
  }
}

// The budget holds one plan, which is paid: going on costs nothing more.
TEST_F(ResumeTest, APaidPlanNeedsNoRoomForAnother) {
  MakeMatrix();
  ASSERT_TRUE(Run(kSteps));
  const double epsilon = events_.back()["epsilon"];
  fs::remove_all(recipe_.output);
  fs::remove_all(recipe_.checkpoints->folder);
  recipe_.privacy->ledger = folder_ / "tight.sqlite";
  recipe_.privacy->budget_epsilon = 1.3 * epsilon;
  recipe_.privacy->budget_delta = recipe_.privacy->delta;
  ASSERT_FALSE(Run(1));
  // As if the first row had never been written.
  for (const char* const name : {"step-000000001.checkpoint", "step-000000001.noise"}) {
    fs::remove(recipe_.checkpoints->folder / name);
  }
  const base::Status behind = Run(kSteps, true);
  ASSERT_FALSE(behind);  // the step was released
  EXPECT_THAT(behind.error().message, HasSubstr("none may be executed again"));
  recipe_.privacy->ledger = folder_ / "tight2.sqlite";
  fs::remove_all(recipe_.checkpoints->folder);
  ASSERT_FALSE(Run(2));
  const base::Status ended = Run(kSteps, true);
  ASSERT_TRUE(ended) << ended.error().message;
}

// With one band no row is needed, and each step's is empty.
TEST_F(ResumeTest, OneBandGoesOnBetweenCheckpoints) {
  MakeMatrix();
  recipe_.privacy->matrix->bands = 1;
  recipe_.checkpoints->keep = 9;
  ASSERT_FALSE(Run(3));
  fs::remove(recipe_.checkpoints->folder / "step-000000003.checkpoint");
  fs::remove(recipe_.checkpoints->folder / "step-000000002.checkpoint");
  const base::Status ended = Run(kSteps, true);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(events_[1]["step"], 4);
}

TEST_F(ResumeTest, NoiseThatCannotBeSealedIsRefusedBeforeTheDebit) {
  MakeMatrix();
  recipe_.privacy->matrix->bands = 400;
  recipe_.privacy->matrix->min_separation = 400;
  recipe_.privacy->nominal_units = 2000;
  recipe_.training.steps = 400;
  const auto plan = MakeMatrixPlan(recipe_, 1'000'000, 2);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("2 GiB"));
}

// A held-out loss that a stop came before is taken when the run goes on, and only once.
TEST_F(ResumeTest, EveryHeldOutLossIsTakenOnce) {
  WriteRecords("eval.jsonl", 2);
  recipe_.data.eval = folder_ / "eval.jsonl";
  recipe_.training.eval_every = 4;
  ASSERT_TRUE(Run(kSteps + 1));
  const auto kinds = [&] {
    std::string all;
    std::ifstream log(recipe_.output / "events.jsonl");
    for (std::string line; std::getline(log, line);) {
      all += nlohmann::json::parse(line)["event"].get<std::string>()[0];
    }
    return all;
  };
  const std::string whole = kinds();
  EXPECT_EQ(whole, "essssessssed");
  for (const std::int64_t stop : {3, 4, 5, 8}) {  // after 4 and 8 the loss itself is stopped
    fs::remove_all(recipe_.output);
    fs::remove_all(recipe_.checkpoints->folder);
    ASSERT_FALSE(Run(stop));
    ASSERT_TRUE(Run(kSteps + 1, true));
    EXPECT_EQ(kinds(), whole) << stop;
  }
}

TEST_F(ResumeTest, AFreshRunDoesNotWriteOverCheckpoints) {
  ASSERT_FALSE(Run(3));
  const base::Status again = Run(kSteps);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, base::Code::kAlreadyExists);
}

}  // namespace
}  // namespace cloister::trainer
