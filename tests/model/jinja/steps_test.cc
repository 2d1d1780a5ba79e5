// Whatever a template does to a long string or list takes steps in proportion to its size, so that
// the limit of steps bounds the time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "model/jinja/interpreter.h"
#include "model/jinja/iterators.h"
#include "model/jinja/methods.h"
#include "model/jinja/parser.h"
#include "model/jinja/registry.h"
#include "model/jinja/template.h"
#include "tests/model/jinja/chat_data.h"

namespace cloister::model::jinja {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kBytes = 200'000, kItems = 20'000;

Arguments With(const Value& argument) {
  Arguments arguments;
  if (!argument.missing()) arguments.positional.push_back(argument);
  return arguments;
}

Limits Wide() {
  Limits limits;
  limits.steps = ~std::uint64_t{0};
  limits.memory_bytes = std::size_t{4} << 30;
  return limits;
}

// A rendering in which nothing was done yet.
class StepsOfOneCall : public ::testing::Test {
 protected:
  Value LongString(char last) {
    std::string text;
    while (text.size() < kBytes) text += "ab c\n";
    text.back() = last;
    return MakeString(heap_, text);
  }
  Value LongList() { return MakeList(heap_, std::vector<Value>(kItems, MakeString(heap_, "ab"))); }

  // The steps that a call takes, and the passing over what it gives.
  template <typename T>
  std::uint64_t Steps(const Priced<T>& operation, const Value& self, Arguments arguments) {
    const std::uint64_t before = heap_.steps();
    const auto result = operation(interpreter_, self, arguments);
    if constexpr (std::is_same_v<T, Value>) {
      if (result && result->is(Kind::kIterator)) (void)Collect(interpreter_, *result);
    }
    return heap_.steps() - before;
  }

  // Whether a call with `argument`, or none, takes at least a step for so many bytes of a string
  // and so many items of a list.
  template <typename T>
  bool Pays(const Priced<T>& operation, const Value& argument) {
    return Steps(operation, LongString('x'), With(argument)) >= kBytes / 64 &&
           Steps(operation, LongList(), With(argument)) >= kItems / 64;
  }

  const Tree tree_ = Parse("", {}).value();
  const Limits limits_ = Wide();
  Interpreter interpreter_{tree_, limits_, {}};
  Heap& heap_ = interpreter_.heap();
};

TEST_F(StepsOfOneCall, FiltersPayForWhatTheyLookThrough) {
  const std::set<std::string_view> constant = {"count", "d", "default", "first", "last", "length"};
  ASSERT_GE(FilterNames().size(), 50U);
  for (const std::string_view name : FilterNames()) {
    Value argument;
    if (name == "map") argument = MakeString(heap_, "string");
    if (name == "select" || name == "reject") argument = MakeString(heap_, "defined");
    if (name == "batch" || name == "slice") argument = Value::Int(3);
    if (name == "attr" || name == "groupby" || name == "join" || name == "replace" ||
        name == "selectattr" || name == "rejectattr") {
      argument = MakeString(heap_, "real");
    }
    EXPECT_EQ(Pays(FindFilter(name), argument), !constant.contains(name)) << name;
  }
}

TEST_F(StepsOfOneCall, TestsPayForWhatTheyLookThrough) {
  const std::set<std::string_view> constant = {
      "boolean", "callable", "defined",  "escaped", "false", "filter",
      "float",   "integer",  "iterable", "mapping", "none",  "number",
      "sameas",  "sequence", "string",   "test",    "true",  "undefined"};
  const std::set<std::string_view> alone = {"even", "lower", "odd", "upper"};
  ASSERT_GE(TestNames().size(), 35U);
  for (const std::string_view name : TestNames()) {
    // The others compare: two strings that differ at their ends, two lists that do not.
    const bool one = alone.contains(name) || constant.contains(name);
    const Value string = one ? Value() : LongString('y'), list = one ? Value() : LongList();
    const bool pays = Steps(FindTest(name), LongString('x'), With(string)) >= kBytes / 64 &&
                      Steps(FindTest(name), LongList(), With(list)) >= kItems / 64;
    EXPECT_EQ(pays, !constant.contains(name)) << name;
  }
}

TEST_F(StepsOfOneCall, MethodsOfStringsPayForWhatTheyLookThrough) {
  ASSERT_GE(StringMethods().size(), 40U);
  for (const auto& [name, method] : StringMethods()) {
    EXPECT_GE(Steps(method, LongString('x'), {}), kBytes / 64) << name;
    EXPECT_GE(Steps(method, LongString('x'), With(MakeString(heap_, "b"))), kBytes / 64) << name;
    // Also where it is the argument that is long.
    EXPECT_GE(Steps(method, MakeString(heap_, "ab"), With(LongString('x'))), kBytes / 64) << name;
  }
}

TEST_F(StepsOfOneCall, MethodsOfListsPayForWhatTheyLookThrough) {
  for (const auto& [name, method] : SequenceMethods()) {
    const std::uint64_t steps = Steps(method, LongList(), With(MakeString(heap_, "b")));
    EXPECT_EQ(steps >= kItems / 64, name != "copy") << name << ": " << steps;
  }
}

TEST_F(StepsOfOneCall, CallsWithLittleTakeFewSteps) {
  const Value text = MakeString(heap_, "abc");
  EXPECT_LT(Steps(FindFilter("length"), text, {}), 5U);
  EXPECT_LT(Steps(FindFilter("upper"), text, {}), 10U);
  EXPECT_LT(Steps(FindTest("defined"), LongString('x'), {}), 2U);
  EXPECT_LT(Steps(FindFilter("length"), LongList(), {}), 5U);
}

TEST_F(StepsOfOneCall, AnOperationThatPaysNothingIsFound) {
  const auto same = [](Runtime&, const Value& self, Arguments&) -> base::Result<Value> {
    return self;
  };
  EXPECT_FALSE(Pays(Operation(same, Price::kConstant), {}));
  EXPECT_TRUE(Pays(Operation(same), {}));
}

// `set` gives the values, `use` is done again and again.
void ExpectStopped(const std::string& set, const std::string& use, std::uint64_t steps) {
  Limits limits;
  limits.steps = steps;
  const auto parsed = Template::Parse(
      set + "{% for i in range(99999) %}{% for j in range(99999) %}{% set q = " + use +
          " %}{% endfor %}{% endfor %}",
      limits);
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto text = parsed->Render(nlohmann::ordered_json::object());
  ASSERT_FALSE(text) << use;
  EXPECT_THAT(text.error().message, HasSubstr("steps: it may never end")) << use;
}

TEST(StepsOfATemplate, StopWhatLooksThroughLongTexts) {
  for (const char* use : {"s|float",
                          "s|int",
                          "s|int(0, 16)",
                          "w|trim",
                          "w.strip()",
                          "w.split()",
                          "s.swapcase()",
                          "s is lower",
                          "s.islower()",
                          "w|wordcount",
                          "s.isdecimal()",
                          "s.isidentifier()",
                          "s.isalnum()",
                          "s.isprintable()",
                          "s.isalpha()",
                          "s.title()",
                          "s|title",
                          "s|indent",
                          "u[-1]",
                          "u[1:]",
                          "s[::2]",
                          "s|replace('9', 'aa')",
                          "s ~ 'a'",
                          "s + 'a'",
                          "s == t",
                          "s < t",
                          "'x' in s",
                          "[s, t]|sort",
                          "[s, t]|unique|list",
                          "[s, t]|min",
                          "[s, t]|max",
                          "{s: 1, t: 2}",
                          "{s: 1}[t]",
                          "namespace(**{s: 1})",
                          "'%.1s' % s",
                          "[s]|string",
                          "'{:.1}'.format(s)",
                          "[s]|tojson",
                          "x.startswith((s, t))",
                          "x.join([s, t])",
                          "[s, t]|map('lower')|list",
                          "[s, t]|select('lower')|list",
                          "strftime_now('')"}) {
    ExpectStopped(
        "{% set s = '9' * 100000 ~ '7' %}{% set t = s[:-1] ~ '8' %}"
        "{% set w = ' ' * 100000 %}{% set u = '\u00fc' * 100000 %}{% set x = s ~ '7' %}",
        use, 3'000'000);
  }
}

TEST(StepsOfATemplate, StopWhatLooksThroughLongLists) {
  for (const char* use : {"l|min",
                          "l|max",
                          "l|sum",
                          "l|sort",
                          "l|unique|list",
                          "l|list",
                          "l|join",
                          "l|reverse|list",
                          "l + l",
                          "l == m",
                          "l[1:]",
                          "-9 in l",
                          "l.count(9)",
                          "l|batch(5)|list",
                          "l|slice(5)|list",
                          "l|groupby('real')",
                          "l|map('string')|list",
                          "l|tojson",
                          "l|string",
                          "l ~ ''",
                          "cycler(*l)",
                          "dict.fromkeys(['a'] * 9000)"}) {
    ExpectStopped("{% set l = range(3000)|list %}{% set m = l[1:] + [1] %}", use, 10'000'000);
  }
}

TEST(StepsOfATemplate, StopWhatFillsNumbersWithZeros) {
  for (const char* call :
       {"'{:04000,}'.format(1)", "'{:.4000}'.format(1e-300)", "('%.4000e' % 1.5)"}) {
    const std::string source =
        std::string("{% for i in range(100000) %}{% set q = ") + call + "|length %}{% endfor %}";
    const auto text = Template::Parse(source, Limits())->Render(nlohmann::ordered_json::object());
    ASSERT_FALSE(text) << call;
    EXPECT_EQ(text.error().code, base::Code::kOutOfRange) << text.error().message;
  }
}

TEST(StepsOfATemplate, LeaveRoomForLongConversations) {
  // A million bytes in a thousand turns, each looked at as templates do.
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  for (int i = 0; i < 1000; ++i) {
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"},
                        {"content", std::string(990, 'x') + "</think> y"}});
  }
  Limits limits;
  limits.steps = Limits().steps / 20;
  const auto parsed = Template::Parse(
      "{% for m in messages %}{% if m.role == 'user' and not loop.last %}<u>{{ m.content|trim }}"
      "{% elif m.content is string and '</think>' in m.content %}"
      "{{ m.content.split('</think>')[0].lstrip('\\n') }}"
      "{% if m.content.startswith('<t>') and m.content.endswith('</t>') %}t{% endif %}"
      "{% if loop.index0 > messages|length - 3 or (messages[loop.index0 - 1].role == 'tool') %}e"
      "{% endif %}{% endif %}{% endfor %}",
      limits);
  const auto text = parsed.value().Render({{"messages", messages}});
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_GT(text->size(), 900'000U);
}

TEST(StepsOfATemplate, LeaveRoomForLongConversationsInRealTemplates) {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  for (int i = 0; i < 1001; ++i) {
    std::string content;
    while (content.size() < 1000) content += "W\u00f6rter & more text. ";
    if (i % 2 == 1) content += "</think>x";
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", content}});
  }
  Limits limits;
  limits.steps = Limits().steps / 20;
  int rendered = 0;
  for (const auto& file : std::filesystem::directory_iterator(testing::ChatData())) {
    if (file.path().extension() != ".jinja") continue;
    const auto parsed = Template::Parse(testing::ReadText(file.path()), limits);
    const auto text = parsed.value().Render({{"messages", messages},
                                             {"add_generation_prompt", true},
                                             {"bos_token", "<s>"},
                                             {"eos_token", "</s>"}});
    EXPECT_TRUE(text) << file.path() << ": " << text.error().message;
    ++rendered;
  }
  EXPECT_GE(rendered, 5);
}

}  // namespace
}  // namespace cloister::model::jinja
