// What a model is judged by: files of questions, scores and generated answers.
#include "trainer/evaluation/evaluation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/file.h"
#include "tests/base/own_path.h"
#include "tests/model/fixture_folders.h"
#include "tests/trainer/golden_examples.h"
#include "tests/trainer/recipe_case.h"
#include "tests/trainer/tiny_chat_model.h"
#include "trainer/data/chat_encoder.h"
#include "trainer/report/run_history.h"
#include "trainer/run/training_run.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class QuestionFile : public InOwnFolder {
 protected:
  base::Result<std::vector<Question>> Read(const std::string& text, QuestionKind kind,
                                           std::int64_t rows = 0) const {
    EXPECT_TRUE(base::WriteFile(folder_ / "q.jsonl", text));
    return ReadQuestions(folder_ / "q.jsonl", kind, rows);
  }
  void ExpectFault(const std::string& line, QuestionKind kind, const std::string& what) const {
    const auto read =
        Read(std::string(R"({"question": "a", "choices": ["b", "c"], "answer": "b"})") + "\n\n" +
                 line + "\n",
             kind);
    ASSERT_FALSE(read) << line;
    EXPECT_EQ(read.error().code, base::Code::kDataLoss);
    EXPECT_THAT(read.error().message, testing::StartsWith((folder_ / "q.jsonl").string() + ":3: "));
    EXPECT_THAT(read.error().message, HasSubstr(what));
  }
};

TEST_F(QuestionFile, ReadsQuestionsOfBothKinds) {
  const auto choice = Read(
      "{\"question\": \"Q\", \"context\": \"C\", \"choices\": [\"x\", \"y\"], \"answer\": 1}\n\n"
      "{\"question\": \"Q\", \"choices\": [\"x\", \"y\", \"z\"], \"answer\": \"z\", \"unit\": "
      "\"u\"}",
      QuestionKind::kMultipleChoice);
  ASSERT_TRUE(choice) << choice.error().message;
  ASSERT_EQ(choice->size(), 2U);
  EXPECT_EQ((*choice)[0].right, 1U);
  EXPECT_EQ((*choice)[1].right, 2U);
  EXPECT_EQ((*choice)[1].unit, "u");
  EXPECT_THAT((*choice)[1].where, testing::EndsWith(":3"));
  EXPECT_EQ((*choice)[0].Answered("y").dump(),
            R"([{"role":"user","content":"C\n\nQ"},{"role":"assistant","content":"y"}])");
  const auto match = Read(
      "{\"question\": \"Q\", \"answer\": \"x\"}\n"
      "{\"question\": \"Q\", \"answer\": [\"x\", \"y\"]}\n",
      QuestionKind::kExactMatch, 1);
  ASSERT_TRUE(match) << match.error().message;
  ASSERT_EQ(match->size(), 1U);
  EXPECT_THAT((*match)[0].answers, testing::ElementsAre("x"));
}

TEST_F(QuestionFile, NamesFileAndLineOfWhatIsWrong) {
  constexpr auto kChoice = QuestionKind::kMultipleChoice;
  ExpectFault("{", kChoice, "no valid JSON");
  ExpectFault("[]", kChoice, "no JSON object");
  ExpectFault(R"({"answer": 1})", kChoice, "'question' is missing");
  ExpectFault(R"({"question": "a"})", kChoice, "'answer' is missing");
  ExpectFault(R"({"question": 1, "answer": 1})", kChoice, "'question' must be");
  ExpectFault(R"({"question": "a", "context": 3, "answer": 1})", kChoice, "'context' must be");
  ExpectFault(R"({"question": "a", "answer": 0})", kChoice, "'choices' is missing");
  ExpectFault(R"({"question": "a", "choices": ["b"], "answer": 0})", kChoice, "'choices' must be");
  ExpectFault(R"({"question": "a", "choices": ["b", "b"], "answer": 0})", kChoice, "twice");
  ExpectFault(R"({"question": "a", "choices": ["b", 1], "answer": 0})", kChoice, "'choices' must");
  ExpectFault(R"({"question": "a", "choices": ["b", "c"], "answer": 2})", kChoice, "from 0 to 1");
  ExpectFault(R"({"question": "a", "choices": ["b", "c"], "answer": -1})", kChoice, "from 0 to 1");
  ExpectFault(R"({"question": "a", "choices": ["b", "c"], "answer": "d"})", kChoice, "index");
  ExpectFault(R"({"question": "a", "choices": ["b", "c"], "answer": 0.5})", kChoice, "index");
  constexpr auto kMatch = QuestionKind::kExactMatch;
  ExpectFault(R"({"question": "a", "answer": ""})", kMatch, "'answer' must be a text");
  ExpectFault(R"({"question": "a", "answer": []})", kMatch, "'answer' must be a list");
  EXPECT_THAT(Read("\n", kMatch).error().message, HasSubstr("q.jsonl:1: no question"));
  EXPECT_EQ(ReadQuestions(folder_ / "absent", kMatch, 0).error().code, base::Code::kNotFound);
}

// Against what another implementation decoded, for every kind of attention, rope and window.
TEST(Continue, IsTheOtherImplementationsGreedyAnswer) {
  SetThreads(1);
  for (const fs::path& folder : fixtures::FixtureFolders()) {
    SCOPED_TRACE(folder);
    const auto files = model::ModelFiles::Open(folder).value();
    if (!files->architecture()) continue;  // a family that is not supported yet
    const auto model = TrainableModel::Load(*files, std::nullopt).value();
    const auto golden = inference::ReadGolden(folder).value();
    for (std::size_t row = 0; row < golden.input_ids.size(); ++row) {
      const auto& expected = golden.greedy_ids[row];
      const auto size = static_cast<std::int64_t>(expected.size());
      EXPECT_EQ(*model->Continue(golden.input_ids[row], size, {}, {}), expected) << row;
    }
    // An end token ends the answer and is no part of it.
    const auto& first = golden.greedy_ids[0];
    const std::vector<model::TokenId> ends = {first.back()};
    const std::vector<model::TokenId> until(first.begin(),
                                            std::find(first.begin(), first.end(), first.back()));
    EXPECT_EQ(*model->Continue(golden.input_ids[0], 99, ends, {}), until);
    const auto stopped = model->Continue(golden.input_ids[0], 9, {}, [](auto) { return false; });
    EXPECT_EQ(stopped.error().code, base::Code::kCancelled);
  }
}

TEST(Scores, AreTheOtherImplementationsLosses) {
  SetThreads(1);
  const fs::path folder = fs::path(CLOISTER_TEST_DATA) / "models/qwen2";
  const auto model =
      TrainableModel::Load(*model::ModelFiles::Open(folder).value(), std::nullopt).value();
  std::vector<Example> examples = GoldenExamples(folder);
  examples.insert(examples.begin(), Example{{1, 2}, {0, 0}});  // says nothing
  const std::vector<float> losses = GoldenFloats(folder, "loss_per_sample");
  const auto golden = inference::ReadGolden(folder).value();
  for (const std::int64_t tokens : {1, 1024}) {
    const auto scores = model->Scores(examples, tokens, {}).value();
    EXPECT_EQ(scores[0].tokens, 0);
    const std::size_t vocab =
        golden.logits.size() / golden.input_ids.size() / golden.input_ids[0].size();
    for (std::size_t row = 0; row < losses.size(); ++row) {
      const TrainableModel::Score& score = scores[row + 1];
      const auto& ids = golden.input_ids[row];
      ASSERT_EQ(score.tokens, static_cast<std::int64_t>(ids.size()) - 1);
      EXPECT_NEAR(score.nll / static_cast<double>(score.tokens), losses[row], 1e-5);
      std::int64_t correct = 0;
      for (std::size_t at = 0; at + 1 < ids.size(); ++at) {
        const auto* const logits = golden.logits.data() + (row * ids.size() + at) * vocab;
        correct += std::max_element(logits, logits + vocab) - logits == ids[at + 1] ? 1 : 0;
      }
      EXPECT_EQ(score.correct, correct);
    }
  }
}

// On a model of two layers whose answers mean nothing: what is compared is the arithmetic.
class EvaluationTest : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    SetThreads(1);
    WriteTinyChatModel(folder_ / "tiny");
    files_ = model::ModelFiles::Open(folder_ / "tiny").value();
    Write("train.jsonl", Conversation("What is one?", "One."));
  }

  static std::string Conversation(const std::string& question, const std::string& answer) {
    return R"({"messages": [{"role": "user", "content": ")" + question +
           R"("}, {"role": "assistant", "content": ")" + answer + "\"}]}\n";
  }
  std::string Write(const std::string& name, const std::string& text) const {
    EXPECT_TRUE(base::WriteFile(folder_ / name, text));
    return (folder_ / name).string();
  }

  base::Result<std::optional<Evaluation>> Open(const std::vector<std::string>& more,
                                               const std::string& recipe = "lora.yaml") {
    std::vector<std::string> overrides = {"data.max_tokens=100", "evaluation.max_new_tokens=8",
                                          "data.train=" + (folder_ / "train.jsonl").string()};
    overrides.insert(overrides.end(), more.begin(), more.end());
    const Recipe loaded = Load(recipe, overrides).value();
    const RecordFile train =
        RecordFile::Open(loaded.data.train, {.units = loaded.privacy && loaded.privacy->unit ==
                                                                            dp::PrivacyUnit::kUser})
            .value();
    return Evaluation::Open(loaded, *files_, train);
  }

  nlohmann::ordered_json Run(const std::vector<std::string>& more) {
    const auto evaluation = Open(more);
    EXPECT_TRUE(evaluation) << evaluation.error().message;
    const auto model = TrainableModel::Load(*files_, std::nullopt).value();
    return (*evaluation)->Run(*model, {}).value();
  }

  // Summed log-likelihood of an answer, and the answer that the model gives.
  double LogLikelihood(const std::string& question, const std::string& answer) const {
    const auto model = TrainableModel::Load(*files_, std::nullopt).value();
    const Example example = Encode(question, answer);
    return -model->Scores({&example, 1}, 1024, {})->front().nll;
  }
  Example Encode(const std::string& question, const std::string& answer) const {
    const ChatEncoder encoder(files_->LoadTokenizer().value(), files_->LoadChatTemplate().value());
    return encoder
        .Encode({{{"role", "user"}, {"content", question}},
                 {{"role", "assistant"}, {"content", answer}}})
        .value();
  }

  std::shared_ptr<const model::ModelFiles> files_;
};

TEST_F(EvaluationTest, PerplexityIsOfAllAnswerTokensTogether) {
  const auto file = Write("eval.jsonl", Conversation("a", "b") + Conversation("c", "a long one"));
  const auto figures = Run({"evaluation.perplexity=" + file});
  // One token a character; the bracket that closes an answer is its last one.
  const double nll = -LogLikelihood("a", "b") - LogLikelihood("c", "a long one");
  EXPECT_NEAR(figures["perplexity"].get<double>(), std::exp(nll / (2 + 11)), 1e-4);
  EXPECT_EQ(figures["perplexity_rows"], 2);
  EXPECT_GE(figures["token_accuracy"], 0);
  EXPECT_LE(figures["token_accuracy"], 1);
  EXPECT_EQ(Run({"evaluation.perplexity=" + file, "evaluation.rows=1"})["perplexity_rows"], 1);
}

TEST_F(EvaluationTest, ChoicesAreComparedByLikelihoodAndByLikelihoodOverCharacters) {
  const std::string small = "no", large = "certainly it is so";
  const double of_small = LogLikelihood("Is it?", small), of_large = LogLikelihood("Is it?", large);
  // The tiny model finds all characters about as likely: short answers win, unless by character.
  ASSERT_GT(of_small, of_large);
  const bool normalized = of_large / 18 > of_small / 2;
  const auto row = [&](int answer) {
    return R"({"question": "Is it?", "choices": [")" + small + R"(", ")" + large +
           R"("], "answer": )" + std::to_string(answer) + "}\n";
  };
  const auto figures =
      Run({"evaluation.multiple_choice=" + Write("mc.jsonl", row(0) + row(0) + row(0) + row(1))});
  EXPECT_EQ(figures["acc"], 0.75);
  EXPECT_EQ(figures["acc_norm"], normalized ? 0.25 : 0.75);
  EXPECT_EQ(figures["multiple_choice_rows"], 4);
}

TEST_F(EvaluationTest, AnAnswerIsRightWhenItIsTheOneThatTheModelGives) {
  const auto model = TrainableModel::Load(*files_, std::nullopt).value();
  const auto tokenizer = files_->LoadTokenizer().value();
  // The model has more ids than its tokenizer has characters: a question that it answers with one.
  std::string question, given;
  for (char c = 'a'; c <= 'z' && given.empty(); ++c) {
    question = std::string("Say ") + c;
    const Example asked = Encode(question, "x");
    const std::vector<model::TokenId> prompt(asked.ids.begin(), asked.ids.end() - 2);  // "x", ">"
    const auto ids = model->Continue(prompt, 1, {}, {}).value();
    if (ids[0] > ' ' && ids[0] < 127) given = tokenizer->Decode(ids).value();
  }
  ASSERT_FALSE(given.empty());
  const auto row = [&](const nlohmann::json& answer) {
    return nlohmann::json({{"question", question}, {"answer", answer}}).dump() + "\n";
  };
  const auto figures =
      Run({"evaluation.max_new_tokens=1",
           "evaluation.exact_match=" +
               Write("em.jsonl", row({"other", " " + given + "\n"}) + row("other"))});
  EXPECT_EQ(figures["exact_match"], 0.5) << given;
  EXPECT_EQ(figures["exact_match_rows"], 2);
}

TEST_F(EvaluationTest, RowsThatAreTooLongAreNamed) {
  const std::string question(static_cast<std::size_t>(files_->architecture()->max_context()), 'q');
  const auto fault = [&](const std::string& key, const std::string& text) {
    const auto opened = Open({"evaluation." + key + "=" + Write("e.jsonl", text)});
    EXPECT_FALSE(opened);
    return opened ? std::string() : opened.error().message;
  };
  EXPECT_THAT(fault("multiple_choice",
                    R"({"question": ")" + question + R"(", "choices": ["a", "b"], "answer": 0})"),
              HasSubstr("e.jsonl:1: longer than the model's"));
  EXPECT_THAT(fault("exact_match", R"({"question": ")" + question + R"(", "answer": "a"})"),
              HasSubstr("e.jsonl:1: longer than the model's"));
  EXPECT_THAT(fault("perplexity", Conversation(question, "a")),
              HasSubstr("none of the 1 held-out records has an answer"));
}

// As for data.eval: what was trained on and then shown is not covered by ε.
TEST_F(EvaluationTest, HeldOutRowsAreApartFromTrainingRowsUnderPrivacy) {
  const std::string choice =
      R"({"question": "What is one?", "choices": ["Two.", "One."], "answer": 0})";
  const std::string match = R"({"question": "What is one?", "answer": ["1", "One."]})";
  const std::string apart =
      "{\"question\": \"?\", \"choices\": [\"a\", \"b\"], \"answer\": \"a\"}\n";
  const std::vector<std::pair<std::string, std::string>> files = {
      {"perplexity", Conversation("?", "a") + Conversation("What is one?", "One.")},
      {"multiple_choice", apart + choice},
      {"exact_match", apart + match}};
  for (const auto& [key, text] : files) {
    // Beyond the rows that are asked as well.
    const std::vector<std::string> more = {"evaluation." + key + "=" + Write("e.jsonl", text),
                                           "evaluation.rows=1"};
    EXPECT_TRUE(Open(more)) << key;
    const auto refused = Open(more, "dp-lora.yaml");
    ASSERT_FALSE(refused) << key;
    EXPECT_EQ(refused.error().code, base::Code::kDataLoss);
    EXPECT_THAT(refused.error().message, HasSubstr("e.jsonl:2: this record also stands in the"));
  }
  // With users as units, another question of one who is trained on.
  Write("train.jsonl", R"({"unit": "ann", "messages": [{"role": "user", "content": "x"}]})");
  const auto refused =
      Open({"privacy.unit=user",
            "evaluation.exact_match=" +
                Write("e.jsonl", R"({"unit": "ann", "question": "y", "answer": "z"})")},
           "dp-lora.yaml");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("e.jsonl:1: its 'unit' also stands"));
}

// A run that goes on was judged before its first step already.
TEST_F(EvaluationTest, ARunThatGoesOnIsJudgedOnceBeforeAndOnceAfter) {
  const std::string file = Write("eval.jsonl", Conversation("a", "b"));
  for (const char* const name : {"lora.yaml", "dp-lora.yaml"}) {
    SCOPED_TRACE(name);
    std::vector<std::string> overrides = {
        "model=" + (folder_ / "tiny").string(),
        "output=" + (folder_ / name).string(),
        "data.train=" + (folder_ / "train.jsonl").string(),
        "data.eval=" + file,
        "data.max_tokens=64",
        "training.steps=4",
        "training.threads=1",
        "evaluation.perplexity=" + file,
        "checkpoints={folder: " + (folder_ / (std::string(name) + ".there")).string() +
            ", every: 1}"};
    if (name[0] == 'd') {
      overrides.push_back("privacy.ledger=" + (folder_ / "ledger.sqlite").string());
      overrides.push_back("privacy.target_epsilon=null");
    }
    const Recipe recipe = Load(name, overrides).value();
    int steps = 0;
    const auto count = [&](const nlohmann::ordered_json& event) {
      steps += event["event"] == "step" ? 1 : 0;
    };
    const base::Status stopped =
        RunTraining(recipe, count, {.stop = [&] { return steps == 2; }, .resume = {}});
    ASSERT_FALSE(stopped);
    ASSERT_EQ(stopped.error().code, base::Code::kCancelled);
    const base::Status done = RunTraining(recipe, count, {.resume = recipe.checkpoints->folder});
    ASSERT_TRUE(done) << done.error().message;
    const std::string events = base::ReadFile(recipe.output / "events.jsonl").value();
    const RunHistory history = ReadHistory(events, recipe);
    ASSERT_EQ(history.judged.size(), 2U) << events;
    EXPECT_EQ(history.judged[0].step, 0);
    EXPECT_EQ(history.judged[1].step, 4);
  }
}

TEST(EvaluationRecipe, IsReadAndWrittenAndNamesItsFaults) {
  EXPECT_FALSE(Load("lora.yaml", {})->evaluation);
  const auto recipe = Load("lora.yaml", {"evaluation={perplexity: a, exact_match: b, rows: 7}",
                                         "data.license=cc-by-4.0", "data.eval_consent=public"});
  ASSERT_TRUE(recipe) << recipe.error().message;
  const auto again = LoadText(ToYaml(*recipe));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(ToYaml(*again), ToYaml(*recipe));
  EXPECT_EQ(again->evaluation->perplexity, "a");
  EXPECT_FALSE(again->evaluation->multiple_choice);
  EXPECT_EQ(again->evaluation->rows, 7);
  EXPECT_EQ(again->evaluation->max_new_tokens, 64);
  EXPECT_EQ(again->data.license, "cc-by-4.0");
  // Evaluation stays what it was where a run goes on; what the report says of the data may change.
  EXPECT_NE(PinnedRecipe(*recipe), PinnedRecipe(*Load("lora.yaml", {})));
  EXPECT_EQ(PinnedRecipe(*Load("lora.yaml", {"data.license=x", "data.eval_consent=consented"})),
            PinnedRecipe(*Load("lora.yaml", {})));
  ExpectFault(Load("lora.yaml", {"evaluation.rows=7"}), HasSubstr("'evaluation' names no file"));
  ExpectFault(Load("lora.yaml", {"evaluation.perplexty=a"}), HasSubstr("evaluation.perplexity"));
  ExpectFault(Load("lora.yaml", {"evaluation={perplexity: a, max_new_tokens: 0}"}),
              HasSubstr("evaluation.max_new_tokens"));
}

}  // namespace
}  // namespace cloister::trainer
