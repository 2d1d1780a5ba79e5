// What jinja2 makes of templates, as transformers runs it: whole chat templates, and a line or so
// for each part of the language.
#include <gtest/gtest.h>

#include "model/jinja/template.h"
#include "tests/model/jinja/chat_data.h"

namespace cloister::model::jinja {
namespace {

using nlohmann::ordered_json;

const RenderOptions kNovember = {nullptr, Date{2026, 11, 23}};

// The text, or the error's message behind "error: ".
std::string Rendered(const std::string& source, const ordered_json& input) {
  const auto parsed = Template::Parse(source);
  if (!parsed) return "error: " + parsed.error().message;
  const auto text = parsed->Render(input, kNovember);
  return text ? *text : "error: " + text.error().message;
}

TEST(ChatTemplates, RenderAsInTransformers) {
  for (const auto& folder : testing::ChatFolders()) {
    const ordered_json golden = testing::ReadJson(folder / "golden.json");
    ASSERT_FALSE(golden["rows"].empty()) << folder;
    for (const ordered_json& row : golden["rows"]) {
      ordered_json input = row;
      for (const char* name : {"template", "expected", "error"}) input.erase(name);
      const std::string file = row["template"];
      const std::string text = Rendered(testing::ReadText(folder / file), input);
      const std::string expected = row.contains("error")
                                       ? "error: " + row["error"].get<std::string>()
                                       : row["expected"].get<std::string>();
      EXPECT_EQ(text, expected) << folder / file << "\n" << input.dump(1);
    }
  }
}

void ExpectCases(const std::string& file, std::size_t at_least) {
  const ordered_json cases = testing::ReadJson(testing::ChatData() / file);
  ASSERT_GE(cases["rows"].size(), at_least);
  for (const ordered_json& row : cases["rows"]) {
    const std::string source = row["template"];
    const std::string text = Rendered(source, cases["variables"]);
    if (row.contains("text")) {
      EXPECT_EQ(text, row["text"].get<std::string>()) << source;
    } else if (row["error"].is_string()) {
      EXPECT_EQ(text, "error: " + row["error"].get<std::string>()) << source;
    } else {
      EXPECT_TRUE(text.starts_with("error: line ")) << source << "\n" << text;
    }
  }
}

TEST(TemplateLanguage, DoesWhatJinjaDoes) { ExpectCases("language.json", 500); }

TEST(TemplateLanguage, ScopesVariablesAsJinjaDoes) { ExpectCases("scopes.json", 150); }

TEST(TemplateLanguage, KeepsTheOrderOfKeysAndBytesThatAreNoText) {
  EXPECT_EQ(Rendered("{{ d }}{{ d|tojson }}", {{"d", {{"z", 1}, {"a", 2}}}}),
            R"({'z': 1, 'a': 2}{"z": 1, "a": 2})");
  const std::string bytes = "a\xff\xc3(\xe2\x82";
  EXPECT_EQ(Rendered("{{ s }}{{ s|length }}{{ s[1] }}", {{"s", bytes}}), bytes + "6\xff");
}

TEST(TemplateLanguage, TakesVariablesFromTheInputThenFromTheOptionsThenGlobals) {
  const auto parsed = Template::Parse("{{ a }}|{{ b }}|{{ c }}|{{ range is callable }}").value();
  const ordered_json more = {{"a", 2}, {"b", 2}};
  const RenderOptions options = {&more, {}};
  EXPECT_EQ(parsed.Render({{"a", 1}}, options).value(), "1|2||True");
  EXPECT_EQ(parsed.Render({{"a", nullptr}, {"range", 5}}, options).value(), "None|2||False");
  EXPECT_FALSE(parsed.Render(ordered_json::array()));
}

TEST(TemplateLanguage, RendersTheSameTemplateOftenAndApart) {
  const auto parsed = Template::Parse(
                          "{% set ns = namespace(n=0) %}{% for x in l %}"
                          "{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}")
                          .value();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(parsed.Render({{"l", {1, 2, 3}}}).value(), "6");
}

TEST(TemplateLanguage, IntegersOfTheInputBeyond64BitsArePrintedAndCompared) {
  const ordered_json input = {{"x", 18446744073709551615U}};
  EXPECT_EQ(Rendered("{{ x }} {{ x|tojson }} {{ x > 1 }} {{ x is integer }}", input),
            "18446744073709551615 18446744073709551615 True True");
  EXPECT_EQ(Rendered("{{ x + 1 }}", input),
            "error: line 1: an integer does not fit 64 bits, which is not supported");
}

}  // namespace
}  // namespace cloister::model::jinja
