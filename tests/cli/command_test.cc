#include "cli/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace cloister::cli {
namespace {

int RunMain(std::span<const Command> commands, std::vector<std::string> words) {
  words.insert(words.begin(), "cloister");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return Main(commands, "cloister", static_cast<int>(argv.size()), argv.data());
}

Command Recording(const std::string& name, std::vector<std::string>& seen) {
  return {name, "", [name, &seen](std::span<const std::string> arguments) -> base::Status {
            seen.push_back(name);
            seen.insert(seen.end(), arguments.begin(), arguments.end());
            return {};
          }};
}

Command Failing(base::Code code) {
  return {"fail", "",
          [code](std::span<const std::string>) -> base::Status { return base::Fail(code, "no"); }};
}

TEST(Command, LongestNameWinsAndTheRestAreArguments) {
  std::vector<std::string> seen;
  const std::vector<Command> commands = {Recording("model", seen), Recording("model merge", seen)};
  EXPECT_EQ(RunMain(commands, {"model", "merge", "--x"}), 0);
  EXPECT_EQ(seen, (std::vector<std::string>{"model merge", "--x"}));
}

TEST(Command, UnknownCommandIsWrongUsage) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunMain({}, {"fly"}), 2);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::StartsWith("error: "));
}

TEST(Command, FirstWordOfAGroupListsItsCommands) {
  std::vector<std::string> seen;
  const std::vector<Command> commands = {Recording("model merge", seen), Recording("other", seen)};
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunMain(commands, {"model", "--help"}), 0);
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, testing::HasSubstr("model merge"));
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("other")));
  EXPECT_TRUE(seen.empty());
}

TEST(Command, ErrorIsOneLineWhateverTheMessageHolds) {
  const std::vector<Command> commands = {
      {"fail", "", [](std::span<const std::string>) -> base::Status {
         return base::Fail(base::Code::kDataLoss, "a\nb\033[31m");
       }}};
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunMain(commands, {"fail"}), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "error: a b [31m\n");
}

TEST(Command, ExitStatusFollowsTheCode) {
  for (const auto& [code, status] :
       std::vector<std::pair<base::Code, int>>{{base::Code::kDataLoss, 1},
                                               {base::Code::kNotFound, 1},
                                               {base::Code::kUnavailable, 1},
                                               {base::Code::kInvalidArgument, 2},
                                               {base::Code::kUnimplemented, 2},
                                               {base::Code::kPermissionDenied, 3},
                                               {base::Code::kResourceExhausted, 3}}) {
    testing::internal::CaptureStderr();
    const std::vector<Command> commands = {Failing(code)};
    EXPECT_EQ(RunMain(commands, {"fail"}), status) << base::CodeName(code);
    testing::internal::GetCapturedStderr();
  }
}

TEST(Command, ExceptionsOfLibrariesBecomeErrors) {
  const std::vector<Command> commands = {
      {"fail", "",
       [](std::span<const std::string>) -> base::Status { throw std::runtime_error("broken"); }}};
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunMain(commands, {"fail"}), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "error: broken\n");
}

base::Result<std::optional<boost::program_options::variables_map>> ParseNumber(
    const std::vector<std::string>& words) {
  Flags flags{.usage = "cloister x --number N", .about = "About."};
  flags.options.add_options()("number", boost::program_options::value<int>()->required(), "N");
  return Parse(flags, words);
}

TEST(Flags, MissingUnknownRepeatedAndMalformedFlagsAreWrongUsageNamingTheFlag) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {}, {"--number", "1", "--number", "2"}, {"--number", "x"}, {"--num", "1"}}) {
    const auto parsed = ParseNumber(words);
    ASSERT_FALSE(parsed.has_value());
    EXPECT_EQ(parsed.error().code, base::Code::kInvalidArgument);
    EXPECT_THAT(parsed.error().message, testing::HasSubstr("num"));
  }
}

TEST(Flags, StrayWordIsWrongUsage) {
  EXPECT_FALSE(ParseNumber({"--number", "1", "stray"}).has_value());
}

TEST(Flags, ValueStartingWithADashIsWrittenWithEquals) {
  const auto parsed = ParseNumber({"--number=-3"});
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ((**parsed)["number"].as<int>(), -3);
}

TEST(Flags, EmptyValueIsAValue) {
  Flags flags{.usage = "cloister x --text T", .about = "About."};
  flags.options.add_options()("text", boost::program_options::value<std::string>(), "T");
  const std::vector<std::string> words = {"--text="};
  const auto parsed = Parse(flags, words);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ((**parsed)["text"].as<std::string>(), "");
}

TEST(Flags, HelpPrintsUsageAndRunsNothing) {
  testing::internal::CaptureStdout();
  const auto parsed = ParseNumber({"--help"});
  EXPECT_THAT(testing::internal::GetCapturedStdout(), testing::HasSubstr("usage: cloister x"));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_FALSE(parsed->has_value());
}

}  // namespace
}  // namespace cloister::cli
