#include "tests/dp/privacy_command.h"

namespace cloister::cli {
namespace {

TEST(PrivacyNoise, IsUndoneByEpsilonAndSteps) {
  for (const std::string accountant : {"pld", "rdp"}) {
    const json noise =
        Print({"privacy", "noise", "--epsilon", "3", "--delta", "1e-5", "--sampling-rate", "0.02",
               "--steps", "200", "--accountant", accountant});
    ASSERT_EQ(noise.size(), 1u);
    const std::string multiplier = noise.at("noise_multiplier").dump();
    const json epsilon =
        Print({"privacy", "epsilon", "--noise-multiplier", multiplier, "--sampling-rate", "0.02",
               "--steps", "200", "--delta", "1e-5", "--accountant", accountant});
    EXPECT_LE(epsilon.at("epsilon").get<double>(), 3);
    EXPECT_GT(epsilon.at("epsilon").get<double>(), 2.99);
    const json steps =
        Print({"privacy", "steps", "--epsilon", "3", "--delta", "1e-5", "--noise-multiplier",
               multiplier, "--sampling-rate", "0.02", "--accountant", accountant});
    ASSERT_EQ(steps.size(), 1u);
    EXPECT_GE(steps.at("steps"), 200);
    EXPECT_LE(steps.at("steps"), 201);
  }
}

TEST(PrivacyNoise, HostileGoalsAreOneClearError) {
  const auto noise = [](const std::string& epsilon, const std::string& delta,
                        const std::string& rate, const std::string& steps) {
    return std::vector<std::string>{"privacy",
                                    "noise",
                                    "--epsilon=" + epsilon,
                                    "--delta=" + delta,
                                    "--sampling-rate=" + rate,
                                    "--steps=" + steps};
  };
  for (const char* const bad : {"-1", "nan", "inf"}) {
    ExpectRefused(noise(bad, "1e-5", "0.1", "10"), 2, "error: --epsilon: ");
    ExpectRefused(noise("1", bad, "0.1", "10"), 2, "error: --delta: ");
    ExpectRefused(noise("1", "1e-5", bad, "10"), 2, "error: --sampling-rate: ");
  }
  ExpectRefused(noise("1", "1e-5", "0.1", "0"), 2, "steps");
  ExpectRefused(noise("1", "1e-5", "0.1", "1.5"), 2, "'1.5' is no whole number");
  ExpectRefused(noise("0", "1e-30", "1", "10"), 2, "raise epsilon");
  ExpectRefused({"privacy", "noise", "--epsilon", "3"}, 2, "required");
  ExpectRefused({"privacy", "steps", "--epsilon", "x"}, 2, "epsilon");
  ExpectRefused({"privacy", "steps", "--epsilon", "1", "--delta", "1e-5", "--sampling-rate", "0.1",
                 "--noise-multiplier=-2"},
                2, "error: --noise-multiplier: ");
  ExpectRefused({"privacy", "steps", "--epsilon", "1", "--delta", "1e-5", "--sampling-rate", "0.1",
                 "--noise-multiplier", "1", "--accountant", "clt"},
                2, "clt");
  ExpectRefused({"privacy", "steps", "--epsilon", "1", "--delta", "1e-5", "--sampling-rate", "0.1",
                 "--noise-multiplier", "1", "--neighbours", "some"},
                2, "some");
}

}  // namespace
}  // namespace cloister::cli
