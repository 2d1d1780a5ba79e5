// What `cloister train` leaves for people to look at, on the tiny model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/trainer/tensorboard_reader.h"
#include "tests/trainer/tiny_chat_model.h"
#include "tests/trainer/train_command_case.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class ReportOfTrainCommand : public TrainCommand {
 protected:
  void SetUp() override {
    TrainCommand::SetUp();
    model_ = folder_ / "tiny";
    trainer::WriteTinyChatModel(model_);
    Write("choice.jsonl",
          "{\"question\": \"Is it?\", \"choices\": [\"yes\", \"no\"], \"answer\": \"yes\"}\n");
    Write("match.jsonl", "{\"question\": \"Is it?\", \"answer\": \"yes\"}\n");
  }

  void Write(const std::string& name, const std::string& text) const {
    ASSERT_TRUE(base::WriteFile(folder_ / name, text));
  }
  Outcome RunTiny(const std::string& recipe, std::vector<std::string> more) const {
    more.insert(more.begin(), {"lora.first_layer=0", "training.steps=4"});
    return Run(recipe, more);
  }
  std::vector<std::string> AllEvaluations() const {
    return {"evaluation.perplexity=" + (folder_ / "eval.jsonl").string(),
            "evaluation.multiple_choice=" + (folder_ / "choice.jsonl").string(),
            "evaluation.exact_match=" + (folder_ / "match.jsonl").string(),
            "evaluation.max_new_tokens=4"};
  }
  std::string Left(const char* name) const { return base::ReadFile(output() / name).value(); }

  // The number of a <data> element of the report.
  double Told(const std::string& id) const {
    const std::string html = Left("report.html"), mark = "id=\"" + id + "\" value=\"";
    const std::size_t at = html.find(mark);
    EXPECT_NE(at, std::string::npos) << id;
    return at == std::string::npos ? -1 : std::stod(html.substr(at + mark.size()));
  }

  // What `cloister privacy epsilon` says of the events that the run recorded.
  double EpsilonOfEvents(const std::string& more) const {
    const std::string command =
        std::string(CLOISTER_BIN_DIR) + "/cloister privacy epsilon --events " +
        (output() / "privacy_events.json").string() + " --delta 1e-5 " + more + " --json";
    FILE* const pipe = ::popen(command.c_str(), "r");
    std::string printed;
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;) printed.push_back(static_cast<char>(c));
    EXPECT_EQ(::pclose(pipe), 0) << command;
    return nlohmann::json::parse(printed)["epsilon"].get<double>();
  }

  // The scalars of events.jsonl and of the public schedule are those of TensorBoard's file.
  void ExpectTensorBoardOfEvents(bool is_private) const {
    std::multiset<trainer::Scalar> expected;
    std::int64_t step = 0;
    std::istringstream lines(Left("events.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const auto event = nlohmann::json::parse(line);
      const auto add = [&](const std::string& tag, const char* name) {
        expected.emplace(tag, step, event[name].get<float>());
      };
      if (event["event"] == "eval") add("eval/loss", "loss");
      if (event["event"] != "step") continue;
      step = event["step"];
      expected.emplace("train/learning_rate", step, is_private ? 4e-3F : 2e-3F);
      if (is_private) {
        add("privacy/epsilon", "epsilon");
      } else {
        add("train/loss", "loss");
        add("train/tokens_per_second", "tokens_per_second");
      }
    }
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(output() / "tensorboard")) {
      files.push_back(entry.path());
    }
    ASSERT_EQ(files.size(), 1U);
    EXPECT_THAT(files[0].filename().string(), HasSubstr("tfevents"));
    EXPECT_EQ(trainer::ReadTensorBoard(base::ReadFile(files[0]).value(), folder_), expected);
  }
};

TEST_F(ReportOfTrainCommand, EpsilonIsThatOfTheRecordedEvents) {
  const Outcome outcome =
      RunTiny("dp-lora.yaml", {"data.eval_consent=public", "privacy.target_epsilon=null"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  const double epsilon = outcome.events.back()["epsilon"].get<double>();
  EXPECT_EQ(Told("epsilon"), epsilon);
  EXPECT_EQ(EpsilonOfEvents(""), epsilon);
  EXPECT_GT(EpsilonOfEvents("--accountant rdp"), epsilon);
  EXPECT_EQ(Told("delta"), 1e-5);
  const std::string html = Left("report.html"), card = Left("README.md");
  for (const std::string& text : {html, card}) {
    EXPECT_THAT(text, HasSubstr("add"));
    EXPECT_THAT(text, HasSubstr("Poisson"));
    EXPECT_THAT(text, HasSubstr("they are public"));
    // Neither a plain hash of the private file nor a loss of its records.
    EXPECT_THAT(text, HasSubstr("ledger"));
    EXPECT_THAT(text, Not(HasSubstr("class=\"key")));
  }
  ExpectTensorBoardOfEvents(/*is_private=*/true);
  ExpectLogOf({"event", "step", "epsilon"});
}

TEST_F(ReportOfTrainCommand, EpsilonOfAFixedOrderAndOfAnAdaptiveNormIsThatOfTheEventsToo) {
  const Outcome adaptive = RunTiny("dp-lora.yaml", {"privacy.target_epsilon=null",
                                                    "privacy.adaptive={quantile: 0.5, rate: 0.2, "
                                                    "count_noise_multiplier: 3}"});
  ASSERT_EQ(adaptive.status, 0) << adaptive.error;
  EXPECT_EQ(EpsilonOfEvents(""), Told("epsilon"));
  EXPECT_EQ(adaptive.events.back()["epsilon"].get<double>(), Told("epsilon"));
  EXPECT_THAT(Left("report.html"), HasSubstr("Clip norm, noised"));
  fs::remove_all(output());
  const Outcome matrix =
      RunTiny("dp-matrix-factorization.yaml",
              {"privacy.ledger=" + (folder_ / "matrix.sqlite").string(), "training.batch_size=5",
               "training.eval_every=0", "privacy.bands=4", "privacy.min_separation=4"});
  ASSERT_EQ(matrix.status, 0) << matrix.error;
  EXPECT_EQ(EpsilonOfEvents(""), Told("epsilon"));
  EXPECT_EQ(matrix.events.back()["epsilon"].get<double>(), Told("epsilon"));
  EXPECT_THAT(Left("README.md"), HasSubstr("DP-FTRL"));
}

TEST_F(ReportOfTrainCommand, EvaluatesBeforeAndAfterAndSaysSoEverywhere) {
  const Outcome outcome = RunTiny("lora.yaml", AllEvaluations());
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  std::vector<nlohmann::json> judged;
  for (const auto& event : outcome.events) {
    if (event["event"] == "evaluation") judged.push_back(event);
  }
  ASSERT_EQ(judged.size(), 2U);
  EXPECT_EQ(outcome.events.front(), judged[0]);
  EXPECT_EQ(judged[0]["step"], 0);
  EXPECT_EQ(judged[1]["step"], 4);
  const std::string card = Left("README.md");
  for (const char* const name :
       {"perplexity", "token_accuracy", "acc", "acc_norm", "exact_match"}) {
    EXPECT_EQ(Told(std::string(name) + "-before"), judged[0][name].get<double>()) << name;
    EXPECT_EQ(Told(std::string(name) + "-after"), judged[1][name].get<double>()) << name;
  }
  EXPECT_LT(judged[1]["perplexity"], judged[0]["perplexity"]);  // the same questions are trained on
  EXPECT_THAT(card, HasSubstr("exact match"));
  EXPECT_THAT(card, HasSubstr("library_name: peft"));
  EXPECT_THAT(Left("report.html"), HasSubstr("class=\"key k2\""));  // training losses may be shown
  EXPECT_FALSE(fs::exists(output() / "privacy_events.json"));
}

// What `cloister generate` says at temperature 0 with the same weights in F32.
TEST_F(ReportOfTrainCommand, TheRealModelIsJudgedByWhatItAnswers) {
  model_ = Root() / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!HasModel()) GTEST_SKIP() << "no " << model_;
  const std::string question = R"({"question": "What is the capital of France?", )";
  Write("match.jsonl", question + R"("answer": "The capital of France is Paris."})");
  Write("choice.jsonl", question + R"("choices": ["Berlin", "Paris", "Rome"], "answer": 1})");
  const Outcome outcome =
      Run("lora.yaml", {"training.steps=1", "training.batch_size=1", "data.eval=null",
                        "evaluation.exact_match=" + (folder_ / "match.jsonl").string(),
                        "evaluation.multiple_choice=" + (folder_ / "choice.jsonl").string(),
                        "evaluation.max_new_tokens=8"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(Told("exact_match-before"), 1);
  EXPECT_EQ(Told("acc-before"), 1);
  EXPECT_THAT(Left("README.md"), HasSubstr("license: apache-2.0"));
}

TEST_F(ReportOfTrainCommand, APrivateRunEvaluatesOnRowsThatItIsNotTrainedOn) {
  std::vector<std::string> silent = AllEvaluations();
  silent.push_back("data.eval_consent=null");
  const Outcome outcome = RunTiny("dp-lora.yaml", silent);
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_THAT(Left("report.html"), HasSubstr("does not say whether they are public"));
  fs::remove_all(output());
  Write("match.jsonl",
        "{\"question\": \"Is it?\", \"answer\": \"yes\"}\n"
        "{\"question\": \"What is 3?\", \"answer\": \"It is number 3\"}\n");
  const Outcome refused = RunTiny("dp-lora.yaml", AllEvaluations());
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.error, HasSubstr("match.jsonl:2: this record also stands in the training"));
  Write("match.jsonl", "{\"question\": \"Is it?\"}\n");
  const Outcome broken = RunTiny("lora.yaml", AllEvaluations());
  EXPECT_EQ(broken.status, 1);
  EXPECT_THAT(broken.error, HasSubstr("match.jsonl:1: field 'answer' is missing"));
  EXPECT_EQ(std::count(broken.error.begin(), broken.error.end(), '\n'), 1);
  ExpectNothingWritten();
}

TEST_F(ReportOfTrainCommand, APlainRunNamesItsDataAndLicences) {
  Write("tiny/README.md", "---\nlicense: mit\n---\n");
  const Outcome outcome = RunTiny("lora.yaml", {"data.license=cc-by-4.0"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  FILE* const pipe = ::popen(("sha256sum " + (folder_ / "train.jsonl").string()).c_str(), "r");
  char digest[65] = {};
  ASSERT_EQ(std::fread(digest, 1, 64, pipe), 64U);
  ::pclose(pipe);
  for (const char* const name : {"report.html", "README.md"}) {
    EXPECT_THAT(Left(name), HasSubstr(digest));
    EXPECT_THAT(Left(name), HasSubstr("mit"));
    EXPECT_THAT(Left(name), HasSubstr("not private"));
  }
  EXPECT_THAT(Left("report.html"), HasSubstr("cc-by-4.0"));
  EXPECT_THAT(Left("README.md"), HasSubstr("license: mit"));
  ExpectTensorBoardOfEvents(/*is_private=*/false);
}

// Off a terminal a private run's lines hold what ε covers; others tell all of it.
TEST_F(ReportOfTrainCommand, TheProgressLineTellsLossPaceTimeAndMemory) {
  const Outcome plain = RunTiny("lora.yaml", {});
  EXPECT_THAT(plain.error, testing::ContainsRegex(
                               "training 4/4 steps, [0-9.]+ steps/s, took [^,]+, loss [0-9.]+, "
                               "[0-9.]+ tokens/s, [0-9.]+ GiB"));
  fs::remove_all(output());
  const Outcome with_privacy = RunTiny("dp-lora.yaml", {"privacy.target_epsilon=null"});
  EXPECT_THAT(with_privacy.error, testing::ContainsRegex("training 4/4 steps, ε [0-9.]+\n"));
  for (const char* const word : {"loss", "/s", "GiB", "took"}) {
    EXPECT_THAT(with_privacy.error, Not(HasSubstr(word)));
  }
}

}  // namespace
}  // namespace cloister::cli
