#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "cli/model/commands.h"
#include "tests/base/temporary_folder.h"

namespace cloister::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::WriteBytes;

struct Outcome {
  int status = 0;
  std::string out;
  std::string error;
};

Outcome Cli(std::vector<std::string> words) {
  words.insert(words.begin(), {"cloister", "render"});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::vector<Command> commands = ModelCommands();
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.status = Main(commands, "cloister", static_cast<int>(words.size()), argv.data());
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.error = ::testing::internal::GetCapturedStderr();
  return outcome;
}

class RenderCommand : public ::testing::Test {
 protected:
  Outcome Render(const std::string& source, const std::string& input,
                 std::vector<std::string> more = {}) {
    WriteBytes(folder_ / "t.jinja", source);
    WriteBytes(folder_ / "i.json", input);
    more.insert(more.begin(), {"--template", folder_ / "t.jinja", "--input", folder_ / "i.json"});
    return Cli(more);
  }
  TemporaryFolder folder_;
};

TEST_F(RenderCommand, PrintsTheText) {
  const char* input = R"({"messages": [{"role": "user", "content": "Grüße"}], "z": 1, "a": 2})";
  const char* source = "{{ messages[0].content }}{{ nothing }}\n{{ messages[0] }}\n";
  const Outcome plain = Render(source, input);
  EXPECT_EQ(plain.status, 0) << plain.error;
  EXPECT_EQ(plain.out, "Grüße\n{'role': 'user', 'content': 'Grüße'}\n");
  const Outcome as_json = Render(source, input, {"--json"});
  EXPECT_EQ(json::parse(as_json.out)["text"], "Grüße\n{'role': 'user', 'content': 'Grüße'}");
  EXPECT_EQ(json::parse(as_json.out).size(), 1U);
}

TEST_F(RenderCommand, FixesTheDate) {
  const char* source = "{{ strftime_now('%d %b %Y') }}";
  EXPECT_EQ(Render(source, "{}", {"--now", "2026-11-23"}).out, "23 Nov 2026\n");
  EXPECT_NE(Render(source, "{}").out, "23 Nov 2026\n");
  for (const char* date : {"2026-02-30", "2026-1-1", "today", "", "2026-11-23T00"}) {
    const Outcome outcome = Render(source, "{}", {std::string("--now=") + date});
    EXPECT_EQ(outcome.status, 2) << date;
    EXPECT_THAT(outcome.error, HasSubstr("--now: ")) << date;
  }
}

TEST_F(RenderCommand, PassesOnTheTemplatesOwnMessage) {
  const Outcome outcome = Render("{{ raise_exception('System role not supported') }}", "{}");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.error, "error: System role not supported\n");
  EXPECT_EQ(outcome.out, "");
}

TEST_F(RenderCommand, SaysWhatIsWrong) {
  const std::tuple<const char*, const char*, int, const char*> cases[] = {
      {"{% if %}", "{}", 1, "error: the chat template, line 1: expected an expression"},
      {"\n{{ a.b.c }}", "{}", 1, "error: the chat template, line 2: 'a' is undefined"},
      {"{% include 'x' %}", "{}", 2, "is not supported"},
      {"x", "{\"a\": ", 1, "i.json is no JSON at byte"},
      {"x", "[1]", 1, "i.json is no JSON object"},
      {"x", "", 1, "i.json is no JSON at byte"},
      {"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "{}", 1,
       "it may never end"},
  };
  for (const auto& [source, input, status, message] : cases) {
    const Outcome outcome = Render(source, input);
    EXPECT_EQ(outcome.status, status) << source;
    EXPECT_THAT(outcome.error, HasSubstr(message)) << source;
    EXPECT_EQ(outcome.out, "") << source;
  }
  EXPECT_EQ(Cli({"--template", "/nowhere", "--input", "/nowhere"}).status, 1);
  EXPECT_EQ(Cli({"--template", "/nowhere"}).status, 2);
}

TEST_F(RenderCommand, RefusesInputsThatTakeForever) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_THAT(Render("x", "{\"a\": " + deep + "}").error, HasSubstr("is nested more than"));
  std::string wide = "{\"a\": 1";
  for (int i = 0; i < 5000; ++i) wide += ", \"" + std::to_string(i) + "\": 1";
  EXPECT_THAT(Render("x", wide + "}").error, HasSubstr("an object of more than"));
}

}  // namespace
}  // namespace cloister::cli
