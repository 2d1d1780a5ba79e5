#include "tests/dp/privacy_command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "dp/ledger/ledger.h"

namespace cloister::cli {
namespace {

std::vector<std::string> Epsilon(std::vector<std::string> more) {
  std::vector<std::string> arguments = {
      "privacy", "epsilon", "--noise-multiplier", "1.1", "--sampling-rate", "0.01",
      "--steps", "1000"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

class PrivacyFiles : public ::testing::Test {
 protected:
  PrivacyFiles() {
    std::string name = (fs::temp_directory_path() / "cloister-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~PrivacyFiles() override { fs::remove_all(folder_); }

  std::string Write(const std::string& text) const {
    const fs::path path = folder_ / "events.json";
    EXPECT_TRUE(base::WriteFile(path, text));
    return path.string();
  }
  fs::path folder_;
};

TEST(PrivacyEpsilon, PrintsTheContractsKeys) {
  const json printed = Print(Epsilon({"--delta", "1e-5", "--accountant", "rdp"}));
  ASSERT_EQ(printed.size(), 4u);
  EXPECT_NEAR(printed.at("epsilon").get<double>(), 1.7117701662429012, 0.005 * 1.71);
  EXPECT_EQ(printed.at("delta"), 1e-5);
  EXPECT_EQ(printed.at("accountant"), "rdp");
  EXPECT_EQ(printed.at("neighbours"), "add-or-remove-one");

  const std::string epsilon = std::to_string(printed.at("epsilon").get<double>());
  const json back = Print(Epsilon({"--at-epsilon", epsilon, "--accountant", "rdp"}));
  EXPECT_NEAR(back.at("delta").get<double>(), 1e-5, 1e-7);
}

TEST(PrivacyEpsilon, AgreesWithEveryReferenceRow) {
  std::ifstream file(std::string(CLOISTER_TEST_DATA) + "/accounting/accounting.json");
  const json figures = json::parse(file);
  int rows = 0;
  for (const auto& row : figures.at("rows")) {
    const json printed =
        Print({"privacy", "epsilon", "--noise-multiplier", row.at("noise_multiplier").dump(),
               "--sampling-rate", row.at("sampling_rate").dump(), "--steps", row.at("steps").dump(),
               "--delta", row.at("delta").dump(), "--accountant", "rdp"});
    const double epsilon = printed.at("epsilon");
    const double reference = row.at("epsilon_rdp");
    EXPECT_NEAR(epsilon, reference, 0.005 * reference) << row;
    EXPECT_GE(epsilon, row.at("epsilon_pld").get<double>()) << row;
    ++rows;
  }
  EXPECT_EQ(rows, 10);
}

TEST(PrivacyEpsilon, IsTheTightFigureUnlessAskedOtherwise) {
  const json printed = Print(Epsilon({"--delta", "1e-5"}));
  EXPECT_EQ(printed.at("accountant"), "pld");
  EXPECT_NEAR(printed.at("epsilon").get<double>(), 1.5153702482034066, 0.005 * 1.515);
  EXPECT_GE(printed.at("epsilon").get<double>(), 1.51526);
  const json replaced =
      Print({"privacy", "epsilon", "--noise-multiplier", "1", "--sampling-rate", "0.01", "--steps",
             "1000", "--delta", "1e-5", "--neighbours", "replace-one"});
  EXPECT_EQ(replaced.at("neighbours"), "replace-one");
  EXPECT_NEAR(replaced.at("epsilon").get<double>(), 2.843446, 0.005 * 2.843);
  const json back = Print(Epsilon({"--at-epsilon", printed.at("epsilon").dump()}));
  EXPECT_EQ(back.at("accountant"), "pld");
  EXPECT_NEAR(back.at("delta").get<double>(), 1e-5, 5e-7);
  // Less noise than PLD covers: RDP answers, and says so.
  const json faint = Print({"privacy", "epsilon", "--noise-multiplier", "0.01", "--sampling-rate",
                            "0.5", "--steps", "2", "--delta", "1e-5"});
  EXPECT_EQ(faint.at("accountant"), "rdp");
}

TEST(PrivacyEpsilon, SaysWhatIsWrongAndWhatIsMissing) {
  ExpectRefused(Epsilon({"--delta", "1e-5", "--accountant", "clt"}), 2, "clt");
  ExpectRefused(Epsilon({"--delta", "1e-5", "--accountant", "rdp", "--neighbours", "replace-one"}),
                2, "replace-one");
  ExpectRefused(Epsilon({"--delta", "1e-5", "--accountant", "rdp", "--neighbours", "some"}), 2,
                "some");
  ExpectRefused(Epsilon({"--accountant", "rdp"}), 2, "--at-epsilon");
  ExpectRefused(Epsilon({"--accountant", "rdp", "--delta", "1e-5", "--at-epsilon", "1"}), 2,
                "--delta and --at-epsilon contradict each other");
  ExpectRefused(Epsilon({"--accountant", "rdp", "--delta", "0"}), 2, "delta");
  ExpectRefused(Epsilon({"--accountant", "rdp", "--delta", "nan"}), 2, "delta");
  ExpectRefused({"privacy", "epsilon", "--steps", "3", "--delta", "1e-5", "--accountant", "rdp"}, 2,
                "missing --noise-multiplier, --sampling-rate: add what is missing");
  ExpectRefused(
      {"privacy", "epsilon", "--steps", "3", "--noise-multiplier", "1", "--delta", "1e-5"}, 2,
      "missing --sampling-rate: add what is missing");
  ExpectRefused({"privacy", "epsilon", "--delta", "1e-5"}, 2, "or --events");
  ExpectRefused({"privacy", "epsilon", "--steps", "0", "--noise-multiplier", "1", "--sampling-rate",
                 "0.1", "--delta", "1e-5", "--accountant", "rdp"},
                2, "error: --steps: give a whole number");
  ExpectRefused({"privacy", "epsilon", "--steps", "1.5", "--noise-multiplier", "1",
                 "--sampling-rate", "0.1", "--delta", "1e-5"},
                2, "--steps, '1.5' is no whole number");
  ExpectRefused({"privacy", "epsilon", "--steps", "1", "--noise-multiplier", "0", "--sampling-rate",
                 "0.1", "--delta", "1e-5"},
                2, "error: --noise-multiplier: give");
  ExpectRefused(Epsilon({"--at-epsilon=-1"}), 2, "error: --at-epsilon: give");
  ExpectRefused(Epsilon({"--delta", "2"}), 2, "error: --delta: give");
  EXPECT_EQ(Print(Epsilon({"--delta", "1e-5", "--accountant", "rdp", "--neighbours", "zero-out"}))
                .at("neighbours"),
            "zero-out");
}

// What an error says to use has an answer.
TEST_F(PrivacyFiles, AdviceDoesNotGoInCircles) {
  const auto event = [](const std::string& noise, const std::string& rest) {
    return "{" + noise + R"(,"sampling_rate":)" + rest + "}";
  };
  const std::string wide =
      event(R"("mechanism":"discrete_gaussian","sigma":20000)", R"(0.1,"steps":5)");
  const std::string faint =
      event(R"("mechanism":"gaussian","noise_multiplier":0.01)", R"(0.5,"steps":2)");
  const std::string sampled =
      event(R"("mechanism":"discrete_gaussian","sigma":2)", R"(0.1,"steps":5)");
  std::string kinds;
  for (int i = 0; i < 201; ++i) {
    kinds += event(R"("mechanism":"discrete_gaussian","sigma":)" + std::to_string(2 + i),
                   R"(0.1,"steps":5)") +
             (i < 200 ? "," : "");
  }
  for (const std::string& text : {wide, faint, sampled, kinds, wide + "," + faint}) {
    const std::string path = Write("[" + text + "]");
    for (const std::string relation : {"replace-one", "add-or-remove-one"}) {
      const auto ask = [&](const std::string& accountant) {
        return RunCloister({"privacy", "epsilon", "--events", path, "--delta", "1e-5",
                            "--accountant", accountant, "--neighbours", relation});
      };
      const Outcome pld = ask("pld");
      const Outcome rdp = ask("rdp");
      if (pld.status != 0) {
        EXPECT_EQ(pld.error.find("use --accountant rdp") == std::string::npos, rdp.status != 0)
            << pld.error << rdp.error;
      }
      if (rdp.status != 0 && pld.status != 0) {
        EXPECT_TRUE(rdp.error.find("use the PLD accountant") == std::string::npos ||
                    pld.error.find("at most 200") != std::string::npos)
            << rdp.error;
      }
    }
  }
}

TEST_F(PrivacyFiles, EventsAreComposed) {
  const std::string path = Write(
      R"([{"mechanism":"gaussian","noise_multiplier":1.2,"sampling_rate":0.02,"steps":500},
          {"mechanism":"gaussian","noise_multiplier":4.0,"sensitivity":1,"sampling_rate":1,"steps":20}])");
  const json both =
      Print({"privacy", "epsilon", "--events", path, "--delta", "1e-5", "--accountant", "rdp"});
  // dp-accounting's PLD gives 7.33 for this composition; RDP may only be above.
  std::ifstream file(std::string(CLOISTER_TEST_DATA) + "/accounting/accounting-more.json");
  const json figures = json::parse(file);
  bool found = false;
  for (const auto& row : figures.at("profiles")) {
    if (row.at("mechanism") != "gaussian 1.2 q .02 x500 then gaussian 4.0 x20") continue;
    found = true;
    const double tight = row.at("epsilon_at_delta_1e-05");
    EXPECT_GE(both.at("epsilon").get<double>(), tight);
    EXPECT_LE(both.at("epsilon").get<double>(), 1.2 * tight);
  }
  EXPECT_TRUE(found);
}

TEST_F(PrivacyFiles, EveryMechanismOfTheContractIsRead) {
  std::ifstream file(std::string(CLOISTER_TEST_DATA) + "/accounting/accounting-more.json");
  const json figures = json::parse(file);
  int rows = 0;
  for (const auto& row : figures.at("profiles")) {
    if (!row.contains("steps")) continue;
    json event;
    for (const char* const key : {"mechanism", "noise_multiplier", "scale", "sigma", "sensitivity",
                                  "sampling_rate", "steps"}) {
      if (row.contains(key)) event[key] = row.at(key);
    }
    const std::string path = Write(json::array({event}).dump());
    const json epsilon = Print({"privacy", "epsilon", "--events", path, "--delta", "1e-5"});
    const double reference = row.at("epsilon_at_delta_1e-05");
    EXPECT_LE(epsilon.at("epsilon").get<double>(), 1.005 * reference) << row;
    EXPECT_GE(epsilon.at("epsilon").get<double>(), reference - 1e-4) << row;
    const json delta = Print({"privacy", "epsilon", "--events", path, "--at-epsilon", "1"});
    const double wanted = row.at("delta_at_epsilon_1");
    EXPECT_NEAR(delta.at("delta").get<double>(), wanted, 0.01 * wanted) << row;
    ++rows;
  }
  EXPECT_EQ(rows, 9);
}

TEST_F(PrivacyFiles, ASigmaIsDividedByItsSensitivityAndAMultiplierIsNot) {
  const auto epsilon = [&](const std::string& noise) {
    const std::string path =
        Write(R"([{"mechanism":"gaussian","sampling_rate":0.02,"steps":500,)" + noise + "}]");
    return Print({"privacy", "epsilon", "--events", path, "--delta", "1e-5", "--accountant", "rdp"})
        .at("epsilon")
        .get<double>();
  };
  const double expected = epsilon(R"("noise_multiplier":1.25)");
  for (const char* const same :
       {R"("noise_multiplier":1.25,"sensitivity":1)", R"("noise_multiplier":1.25,"sensitivity":4)",
        R"("noise_multiplier":1.25,"sensitivity":0.5)", R"("sigma":1.25)",
        R"("sigma":5,"sensitivity":4)", R"("sigma":0.625,"sensitivity":0.5)",
        R"("scale":5,"sensitivity":4)", R"("scale":1.25)"}) {
    EXPECT_EQ(epsilon(same), expected) << same;
  }
  EXPECT_GT(epsilon(R"("sigma":1.25,"sensitivity":2)"), 1.5 * expected);
}

TEST_F(PrivacyFiles, TheSlackOfARecordedReleaseIsTakenFromDelta) {
  const auto epsilon = [&](const std::string& delta, const std::string& slack) {
    const std::string path = Write(
        R"([{"mechanism":"gaussian","noise_multiplier":1.25,"sampling_rate":0.02,"steps":500)" +
        slack + "}]");
    return Print({"privacy", "epsilon", "--events", path, "--delta", delta}).at("epsilon");
  };
  EXPECT_EQ(epsilon("1e-5", R"(,"delta_slack":0)"), epsilon("1e-5", ""));
  const double slack = 1e-7, with = epsilon("1e-5", R"(,"delta_slack":1e-7)").get<double>();
  EXPECT_GT(with, epsilon("1e-5", "").get<double>());
  // docs/design/0008-accounting.md: a total variation of s costs (1 + e^ε) s of δ.
  const json left = 1e-5 - (1 + std::exp(with)) * slack;
  EXPECT_NEAR(with, epsilon(left.dump(), "").get<double>(), 1e-4);
}

TEST_F(PrivacyFiles, EventsSayOfWhichNeighboursTheyAre) {
  const std::string row =
      R"({"mechanism":"gaussian","noise_multiplier":1,"sampling_rate":0.01,"steps":1000)";
  const std::string path = Write("[" + row + R"(,"neighbours":"replace-one"}])");
  const std::vector<std::string> words = {"privacy", "epsilon", "--events",
                                          path,      "--delta", "1e-5"};
  const auto with = [&](const char* relation) {
    std::vector<std::string> all = words;
    all.insert(all.end(), {"--neighbours", relation});
    return all;
  };
  const json printed = Print(words);
  EXPECT_EQ(printed.at("neighbours"), "replace-one");
  EXPECT_EQ(Print(with("replace-one")), printed);
  ExpectRefused(with("add-or-remove-one"), 2, "one relation alone");

  Write("[" + row + "}]");
  EXPECT_EQ(Print(words).at("neighbours"), "add-or-remove-one");
  EXPECT_EQ(Print(with("replace-one")), printed);
}

TEST_F(PrivacyFiles, HostileEventsAreOneClearError) {
  const auto refused = [&](const std::string& text, int status, const std::string& named) {
    const std::string path = Write(text);
    ExpectRefused(
        {"privacy", "epsilon", "--events", path, "--delta", "1e-5", "--accountant", "rdp"}, status,
        named);
  };
  const auto row = [](const std::string& fields) {
    return R"([{"mechanism":"gaussian","noise_multiplier":1,"sampling_rate":0.1,"steps":1},{)" +
           fields + "}]";
  };
  refused("", 1, "events.json");
  refused("{}", 1, "list");
  refused("[]", 1, "list");
  refused("[1", 1, "no valid JSON");
  refused(std::string(300'000, '['), 1, "too deep");
  refused("[1]", 1, "event 1");
  refused(row(R"("mechanism":"laplace","scale":1,"steps":1)"), 1, "sampling_rate");
  refused(row(R"("mechanism":"laplace","sigma":1,"sampling_rate":1,"steps":1)"), 1, "sigma");
  refused(row(R"("mechanism":"discrete_gaussian","sigma":1,"sensitivity":1.5,)"
              R"("sampling_rate":1,"steps":1)"),
          1, "sensitivity");
  refused(row(R"("mechanism":"discrete_gaussian","sigma":1,"sampling_rate":0.5,"steps":1)"), 2,
          "sampled discrete Gaussian");
  refused(row(R"("mechanism":"cauchy")"), 1, "cauchy");
  const std::string good = R"("mechanism":"gaussian","noise_multiplier":1,"sampling_rate":0.1)";
  refused(row(good), 1, "event 2");
  refused(row(good + R"(,"steps":1,"steps":2)"), 1, "steps is given twice");
  refused(row(R"("mechanism":"laplace","scale":1e-200,"sampling_rate":0.1,"steps":9)"), 1, "1e-12");
  refused(row(good + R"(,"steps":1.5)"), 1, "steps");
  refused(row(good + R"(,"steps":1e300)"), 1, "steps");
  refused(row(good + R"(,"steps":-1)"), 1, "steps");
  refused(row(good + R"(,"steps":"1")"), 1, "steps");
  for (const char* const sensitivity : {"0", "-1", "\"1\"", "null"}) {
    refused(row(good + R"(,"steps":1,"sensitivity":)" + sensitivity), 1, "sensitivity");
  }
  for (const char* const slack : {"1", "-1e-9", "\"0\"", "null"}) {
    refused(row(good + R"(,"steps":1,"delta_slack":)" + slack), 1, "delta_slack");
  }
  refused(row(good + R"(,"steps":1,"sigma":2)"), 1, "noise_multiplier and sigma");
  const std::string without = R"("mechanism":"gaussian","sampling_rate":0.1,"steps":1)";
  refused(row(without), 1, "noise_multiplier");
  refused(row(without + R"(,"sigma":1,"scale":1)"), 1, "sigma and scale");
  refused(row(without + R"(,"sigma":-1)"), 1, "sigma");
  refused(row(without + R"(,"sigma":1e-300,"sensitivity":1e300)"), 1, "noise_multiplier");
  refused(row(good + R"(,"steps":1,"noise":2)"), 1, "noise");
  refused(row(R"("mechanism":"gaussian","noise_multiplier":0,"sampling_rate":0.1,"steps":1)"), 1,
          "noise_multiplier");
  refused(row(good + R"(,"steps":1,"neighbours":"some")"), 1, "neighbour");
  refused(row(good + R"(,"steps":1,"neighbours":1)"), 1, "neighbours is no text");
  refused(row(good + R"(,"steps":1,"neighbours":"zero-out")"), 2, "one relation alone");
  ExpectRefused(
      {"privacy", "epsilon", "--events", "/nowhere.json", "--delta", "1e-5", "--accountant", "rdp"},
      1, "/nowhere.json");
  ExpectRefused({"privacy", "epsilon", "--events", "x", "--steps", "1", "--delta", "1e-5",
                 "--accountant", "rdp"},
                2, "--events");
}

TEST_F(PrivacyFiles, LedgerPrintsARowASpend) {
  const std::string path = (folder_ / "ledger").string();
  ExpectRefused({"privacy", "ledger", "--ledger", path}, 1, path);
  {
    const auto ledger = dp::Ledger::Open(path);
    ASSERT_TRUE(ledger) << ledger.error().message;
    const std::vector<std::string> units = {"a", "b"};
    const auto id = (*ledger)->RegisterDataSet("ninds", units, dp::PrivacyUnit::kRecord,
                                               dp::Neighbours::kAddOrRemoveOne, {8, 1e-5});
    ASSERT_TRUE(id);
    const dp::Event event{1.5, 0.1, 1, dp::Neighbours::kAddOrRemoveOne};
    const dp::Event own{1.1, 0.1, 1, dp::Neighbours::kAddOrRemoveOne};
    ASSERT_TRUE((*ledger)->Debit(*id, {{"job", 4, 1}, event, own}));
  }
  const json row = Print({"privacy", "ledger", "--ledger", path});
  EXPECT_EQ(row.at("name"), "ninds");
  EXPECT_EQ(row.at("round"), 4);
  EXPECT_EQ(row.at("attempt"), 1);
  EXPECT_EQ(row.at("noise_multiplier"), 1.5);
  EXPECT_EQ(row.at("own_noise_multiplier"), 1.1);
  const Outcome text = RunCloister({"privacy", "ledger", "--ledger", path});
  EXPECT_EQ(text.status, 0) << text.error;
  EXPECT_NE(text.out.find("round 4.1"), std::string::npos) << text.out;
  const std::size_t used = text.out.find("used so far ");
  ASSERT_NE(used, std::string::npos) << text.out;
  const double share = std::stod(text.out.substr(used + 12));
  EXPECT_GT(share, 0);
  EXPECT_LT(share, 20) << "one release of many that the budget has room for";
}

TEST(PrivacyHelp, EveryCommandHasOne) {
  for (const Command& command : PrivacyCommands()) {
    const Outcome outcome = RunCloister({"privacy", command.name.substr(8), "--help"});
    EXPECT_EQ(outcome.status, 0) << outcome.error;
    EXPECT_NE(outcome.out.find("usage: cloister " + command.name), std::string::npos);
  }
}

}  // namespace
}  // namespace cloister::cli
