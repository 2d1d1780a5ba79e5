// What a run leaves for people to look at: escaping, curves, TensorBoard's files, the guarantee.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <array>

#include "dp/accounting/accountant.h"
#include "tests/trainer/recipe_case.h"
#include "tests/trainer/tensorboard_reader.h"
#include "trainer/report/base_model.h"
#include "trainer/report/chart.h"
#include "trainer/report/html_report.h"
#include "trainer/report/markup.h"
#include "trainer/report/model_card.h"
#include "trainer/report/run_summary.h"
#include "trainer/report/tensorboard.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kPrivateEvents =
    "{\"event\":\"evaluation\",\"step\":0,\"perplexity\":9.5,\"perplexity_rows\":3}\n"
    "{\"event\":\"eval\",\"loss\":2.5}\n"
    "{\"event\":\"step\",\"step\":1,\"epsilon\":0.5}\n"
    "{\"event\":\"resumed\",\"step\":1,\"lost\":1}\n"
    "{\"event\":\"step\",\"step\":3,\"epsilon\":0.9}\n"
    "{\"event\":\"eval\",\"loss\":2.25}\n"
    "{\"event\":\"evaluation\",\"step\":3,\"perplexity\":8.5,\"perplexity_rows\":3}\n"
    "{\"event\":\"done\",\"epsilon\":0.9}\n";

class Report : public InOwnFolder {
 protected:
  // A finished run of a recipe of configs/ whose files are this test's.
  FinishedRun Finished(const std::string& name, const std::vector<std::string>& more = {}) {
    EXPECT_TRUE(base::WriteFile(folder_ / "train.jsonl", "a record\n"));
    std::vector<std::string> overrides = {"data.train=" + (folder_ / "train.jsonl").string(),
                                          "output=" + (folder_ / "out").string(),
                                          "model=" + (folder_ / "base").string()};
    overrides.insert(overrides.end(), more.begin(), more.end());
    recipe_ = Load(name, overrides).value();
    return {.recipe = *recipe_, .planned_steps = recipe_->training.steps, .events = kPrivateEvents};
  }
  FinishedRun FinishedPrivately(const std::vector<std::string>& more = {}) {
    FinishedRun run = Finished("dp-lora.yaml", more);
    RecordedSpend& spend = run.spend.emplace();
    for (int step = 0; step < 3; ++step) spend.Add(Step());
    spend.data_set = "0123456789abcdef";
    return run;
  }
  static dp::Event Step() {
    return {.noise_multiplier = 0.9,
            .sampling_rate = 0.16,
            .steps = 1,
            .neighbours = dp::Neighbours::kAddOrRemoveOne,
            .delta_slack = 1e-9};
  }

  std::optional<Recipe> recipe_;
};

TEST(Markup, NothingFromOutsideIsMarkup) {
  EXPECT_EQ(HtmlText("<script>\"&'\x01\n"), "&lt;script&gt;&quot;&amp;&#39;  ");
  EXPECT_EQ(HtmlText("a\nb", /*lines=*/true), "a\nb");
  EXPECT_EQ(HtmlText("\xFF\xC2\x85ε"), "\uFFFD ε");
  EXPECT_EQ(MarkdownText("a|b\n<c>"), "a&#124;b &#60;c&#62;");
  EXPECT_EQ(MarkdownText("a-b. [c](d) **e** f_g"),
            "a-b. &#91;c&#93;(d) &#42;&#42;e&#42;&#42; f&#95;g");
  EXPECT_EQ(MarkdownText("http://a.b www.c x@y"), "http:/&#47;a.b www&#46;c x&#64;y");
  EXPECT_EQ(MarkdownCode("x\n```\n# no heading", "yaml"), "````yaml\nx\n```\n# no heading\n````\n");
}

TEST(Chart, TicksAreRoundAndWithin) {
  EXPECT_THAT(Ticks(0, 10, 5), testing::ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(Ticks(0.9, 3.2, 5), testing::ElementsAre(1, 1.5, 2, 2.5, 3));
  EXPECT_FALSE(Ticks(5, 5.000001, 5).empty());
}

TEST(Chart, DrawsEveryPointOrMeansOfManyAndKeepsTheEnds) {
  EXPECT_EQ(ChartHtml({.title = "none"}, std::array<Curve, 1>{Curve{"nothing", {}}}), "");
  const std::vector<Point> few = {{0, 2}, {5, 1}};
  const std::string small =
      ChartHtml({.title = "<loss>"}, std::array<Curve, 1>{Curve{"held-out", few}});
  EXPECT_THAT(small, HasSubstr("&lt;loss&gt;"));
  EXPECT_THAT(small, HasSubstr("held-out, step 5: 1<"));
  EXPECT_THAT(small, Not(HasSubstr("class=\"key")));  // one curve needs no legend
  std::vector<Point> many;
  for (std::int64_t step = 1; step <= 100'000; ++step) many.push_back({step, 1.0 / step});
  const std::string large =
      ChartHtml({.title = "loss"}, std::array<Curve, 2>{Curve{"a", many}, Curve{"b", few}});
  EXPECT_LT(large.size(), 20'000U);
  EXPECT_THAT(large, HasSubstr("a from 1 to 1e-05"));
  EXPECT_THAT(large, HasSubstr("class=\"key k2\""));
}

TEST(TensorBoard, ChecksumsAreCrc32c) {
  // RFC 3720, B.4, and the usual check value.
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
}

TEST_F(Report, TensorBoardHoldsWhatTheEventsHold) {
  const RunHistory history = ReadHistory(kPrivateEvents, *Load("dp-lora.yaml", {}));
  const auto scalars = ReadTensorBoard(TensorBoardEvents(history), folder_);
  const float rate = 4e-3F;
  EXPECT_EQ(scalars, (std::multiset<Scalar>{{"train/learning_rate", 1, rate},
                                            {"train/learning_rate", 3, rate},
                                            {"eval/loss", 0, 2.5F},
                                            {"eval/loss", 3, 2.25F},
                                            {"privacy/epsilon", 1, 0.5F},
                                            {"privacy/epsilon", 3, 0.9F},
                                            {"evaluation/perplexity", 0, 9.5F},
                                            {"evaluation/perplexity", 3, 8.5F}}));
}

// The reader sees what is broken.
TEST_F(Report, ABrokenTensorBoardFileIsSeen) {
  std::string file = TensorBoardEvents(ReadHistory(kPrivateEvents, *Load("dp-lora.yaml", {})));
  file[file.size() - 6] ^= 1;  // within the last message
  static std::string broken;
  static fs::path folder;
  broken = file;
  folder = folder_;
  EXPECT_NONFATAL_FAILURE(ReadTensorBoard(broken, folder), "SlowMaskedCrc");
}

TEST(History, IsOfTheEventsAlone) {
  const RunHistory history = ReadHistory(
      "{\"event\":\"step\",\"step\":1,\"epsilon\":null,\"loss\":2.0,\"tokens_per_second\":10.0}\n"
      "{\"event\":\"step\",\"step\":2,\"epsilon\":null,\"loss\":null,\"tokens_per_second\":9.0}\n"
      "no JSON\n",
      *Load("lora.yaml", {"training.steps=2", "optimizer.schedule=linear"}));
  ASSERT_EQ(history.loss.size(), 1U);  // null: not finite
  EXPECT_EQ(history.tokens_per_second.size(), 2U);
  EXPECT_TRUE(history.epsilon.empty());
  EXPECT_EQ(history.learning_rate.back().step, 2);
  EXPECT_LT(history.learning_rate.back().value, history.learning_rate.front().value);
  const auto event = JudgedEvent(7, {{"acc", 0.5}});
  EXPECT_TRUE(WasJudgedAt(event.dump() + "\n", 7));
  EXPECT_FALSE(WasJudgedAt(event.dump() + "\n", 70));
  EXPECT_FALSE(WasJudgedAt(JudgedEvent(70, {{"acc", 0.5}}).dump() + "\n", 7));
}

TEST_F(Report, ThePrivacyStatementIsWholeAndOfTheRecordedSpend) {
  const FinishedRun run = FinishedPrivately({"privacy.target_epsilon=null"});
  const PrivacyStatement statement = MakePrivacyStatement(run.recipe, *run.spend).value();
  std::vector<dp::Event> events(3, Step());
  EXPECT_NEAR(statement.epsilon, dp::PlanEpsilon(events, 1e-5).value(), 1e-12);
  // Never below what the slack of the sampler leaves.
  for (dp::Event& event : events) event.delta_slack = 0;
  EXPECT_GT(statement.epsilon, dp::PlanEpsilon(events, 1e-5).value());
  EXPECT_EQ(statement.accountant, "pld");
  EXPECT_EQ(statement.delta, 1e-5);
  EXPECT_EQ(statement.unit, "record");
  EXPECT_EQ(statement.neighbours, "add-or-remove-one");
  EXPECT_THAT(statement.mechanism, HasSubstr("Poisson-sampled Gaussian"));
  EXPECT_THAT(statement.mechanism, HasSubstr("noise multiplier 0.9"));
  const auto rows = nlohmann::json::parse(statement.events);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0]["steps"], 3);
  EXPECT_DOUBLE_EQ(rows[0]["delta_slack"].get<double>(), 3e-9);

  const Recipe matrix = Load(kMatrix, {"privacy.noise_multiplier=4"}).value();
  EXPECT_THAT(MakePrivacyStatement(matrix, *run.spend)->mechanism, HasSubstr("DP-FTRL"));
}

TEST_F(Report, SaysWhatEpsilonCoversAndWhoseLossesThoseAre) {
  const auto said = [](const RunSummary& summary) {
    const std::string html = HtmlReport(summary), card = ModelCard(summary);
    for (const std::string& sentence : summary.coverage) {
      EXPECT_THAT(html, HasSubstr(HtmlText(sentence)));
      EXPECT_THAT(card, HasSubstr(MarkdownText(sentence)));
    }
    std::string all;
    for (const std::string& sentence : summary.coverage) all += sentence + "\n";
    return all;
  };
  const auto of = [&](const std::vector<std::string>& more) {
    return Summarize(FinishedPrivately(more)).value();
  };
  EXPECT_THAT(said(of({"data.eval_consent=null"})), HasSubstr("does not say whether they are"));
  EXPECT_THAT(said(of({"data.eval_consent=public"})), HasSubstr("states that they are public"));
  EXPECT_THAT(said(of({"data.eval_consent=consented"})), HasSubstr("consent to these figures"));
  EXPECT_THAT(said(of({})), HasSubstr("whose results were lost: 1"));
  EXPECT_THAT(said(Summarize(Finished("lora.yaml")).value()), HasSubstr("was not private"));
  ExpectFault(Load("dp-lora.yaml", {"data.eval_consent=maybe"}), HasSubstr("public or consented"));
}

// A plain hash of a private file would confirm whoever guesses it.
TEST_F(Report, TheHashOfPrivateDataIsTheLedgers) {
  const RunSummary with = Summarize(FinishedPrivately()).value();
  const RunSummary without = Summarize(Finished("lora.yaml")).value();
  EXPECT_EQ(with.data_hash, "0123456789abcdef");
  EXPECT_EQ(without.data_hash, "22d60c4836386d11fca52af46e9a7fe2e50f656c2d68450c59370b35ea26f730");
  for (const std::string& text : {HtmlReport(with), ModelCard(with)}) {
    EXPECT_THAT(text, HasSubstr("0123456789abcdef"));
    EXPECT_THAT(text, Not(HasSubstr(without.data_hash)));
  }
}

TEST_F(Report, ThePageIsWholeEscapedAndAsksForNothing) {
  const FinishedRun run = FinishedPrivately({"data.license='<img src=x onerror=alert(1)>'"});
  RunSummary summary = Summarize(run).value();
  summary.base.name = "</title><script src=\"https://example.org/x.js\">";
  const std::string html = HtmlReport(summary);
  EXPECT_THAT(html, testing::StartsWith("<!doctype html>"));
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(html, HasSubstr("&lt;img src=x"));
  for (const char* const part :
       {"<script", "<img", "<link", "src=\"", "href=\"", "url(", "@import"}) {
    EXPECT_THAT(html, Not(HasSubstr(part))) << part;
  }
  EXPECT_THAT(html, HasSubstr("<data id=\"epsilon\" value=\"" + Exact(summary.privacy->epsilon)));
  EXPECT_THAT(html, HasSubstr("<data id=\"perplexity-after\" value=\"8.5\">"));
  EXPECT_THAT(html, HasSubstr("sampling_rate: 0.16"));
  EXPECT_THAT(html, HasSubstr("aria-label=\"ε spent; ε from 0.5 to 0.9\""));
}

TEST_F(Report, TheCardsFrontMatterIsWhatHuggingFaceReads) {
  fs::create_directories(folder_ / "base");
  ASSERT_TRUE(base::WriteFile(folder_ / "base/config.json", R"({"_name_or_path": "org/base-1"})"));
  ASSERT_TRUE(base::WriteFile(folder_ / "base/README.md", "---\nlicense: apache-2.0\n---\ntext\n"));
  const std::string card = ModelCard(Summarize(FinishedPrivately()).value());
  ASSERT_TRUE(card.starts_with("---\n"));
  const YAML::Node front = YAML::Load(card.substr(4, card.find("\n---\n", 4) - 4));
  EXPECT_EQ(front["base_model"].Scalar(), "org/base-1");
  EXPECT_EQ(front["license"].Scalar(), "apache-2.0");
  EXPECT_EQ(front["library_name"].Scalar(), "peft");
  EXPECT_THAT(front["tags"].as<std::vector<std::string>>(),
              testing::ElementsAre("cloister", "lora", "differential-privacy"));
  EXPECT_THAT(card, HasSubstr("| δ | 1e-05 |"));
  EXPECT_THAT(card, HasSubstr("| 9.5 | 8.5 |"));
  const std::string whole = ModelCard(Summarize(Finished("full.yaml")).value());
  EXPECT_THAT(whole, HasSubstr("library_name: transformers\n"));
  EXPECT_THAT(whole, HasSubstr("base_model_relation: finetune\n"));
  EXPECT_THAT(whole, Not(HasSubstr("- lora")));
}

// By the time it is written the model is trained: a file that went away must not cost it.
TEST_F(Report, IsWrittenWithoutFilesThatWentAway) {
  const FinishedRun run = Finished("lora.yaml");
  fs::remove(folder_ / "train.jsonl");
  fs::create_directory(folder_ / "out");
  ASSERT_TRUE(WriteRunReport(folder_ / "out", run));
  EXPECT_THAT(base::ReadFile(folder_ / "out/report.html").value(),
              HasSubstr("could not be read any more"));
}

TEST(BaseModel, TakesALicenceFromItsFilesAndNoNameThatIsNone) {
  const OwnFile folder("base_model");
  fs::create_directories(folder.path());
  const auto describe = [&](const std::string& config, const std::string& card) {
    EXPECT_TRUE(base::WriteFile(folder.path() / "config.json", config));
    EXPECT_TRUE(base::WriteFile(folder.path() / "README.md", card));
    return DescribeBase(folder.path());
  };
  const BaseModel other = describe(R"({"_name_or_path": "/home/me/model"})",
                                   "---\nlicense: other\nlicense_name: llama3\n---\n");
  EXPECT_EQ(other.repository, "");
  EXPECT_EQ(other.license, "llama3");
  EXPECT_EQ(other.name, folder.path().filename().string());
  EXPECT_EQ(other.sha256.size(), 64U);
  // Nothing that is malformed stops a run that is done.
  const BaseModel broken = describe("{", "---\n: [\n---\n");
  EXPECT_EQ(broken.license, "");
  EXPECT_EQ(DescribeBase(folder.path() / "absent.gguf").name, "absent.gguf");
}

TEST(Readable, EpsilonIsNeverUnderstated) {
  EXPECT_EQ(ReadableEpsilon(1.00001), "1.001");
  EXPECT_EQ(Readable(2.123456), "2.123");
  EXPECT_EQ(Exact(1e-5), "1e-05");
}

}  // namespace
}  // namespace cloister::trainer
