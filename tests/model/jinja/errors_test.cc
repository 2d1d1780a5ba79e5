#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "model/jinja/template.h"

namespace cloister::model::jinja {
namespace {

using base::Code;
using nlohmann::ordered_json;
using ::testing::HasSubstr;

base::Error ErrorOf(const std::string& source, const ordered_json& input = ordered_json::object()) {
  const auto parsed = Template::Parse(source);
  if (!parsed) return parsed.error();
  const auto text = parsed->Render(input);
  return text ? base::Error{Code::kOk, *text} : text.error();
}

TEST(TemplateErrors, NameTheLineOfASyntaxError) {
  const std::tuple<const char*, const char*> cases[] = {
      {"a\n{% if x %}", "line 2: the template ends where {% endif %} is expected"},
      {"\n\n{{ x", "line 3: expected '}}', got the end of the template"},
      {"{{ 'a }}", "line 1: a string that starts with ' does not end"},
      {"{# a", "line 1: missing end of comment tag"},
      {"{% frobnicate %}", "line 1: unknown tag 'frobnicate'"},
      {"{{ (1] }}", "line 1: unexpected ']', expected ')'"},
      {"{{ a ! b }}", "line 1: unexpected character '!'"},
      {"{% set 1 = 2 %}", "line 1: can't assign to this"},
      {"{% break %}", "line 1: 'break' outside of a loop"},
      {"{{ x|nosuch }}", "line 1: there is no filter named 'nosuch'"},
      {"{{ x is nosuch }}", "line 1: there is no test named 'nosuch'"},
      {"{% for x in y %}\n{% set loop = 1 %}{% endfor %}",
       "line 1: can't assign to the special variable 'loop' in a for loop"},
      {"{{ 99999999999999999999 }}", "line 1: an integer does not fit 64 bits"},
  };
  for (const auto& [source, message] : cases) {
    const base::Error error = ErrorOf(source);
    EXPECT_EQ(error.code, Code::kDataLoss) << source;
    EXPECT_EQ(error.message, message) << source;
  }
}

TEST(TemplateErrors, NameTheLineOfAFault) {
  const std::tuple<const char*, const char*> cases[] = {
      {"a\nb\n{{ messages.x.y }}", "line 3: 'messages' is undefined"},
      {"{{ d.x.y }}", "line 1: 'dict object' has no attribute 'x'"},
      {"\n{{ 1 + 'a' }}", "line 2: unsupported operand types for +: 'int' and 'str'"},
      {"{{ 1 / 0 }}", "line 1: division by zero"},
      {"{{ d.pop('a') }}",
       "line 1: access to attribute 'pop' of 'dict' object is unsafe: templates cannot change "
       "lists and dicts"},
      {"{{ 'a'() }}", "line 1: 'str' object is not callable"},
      {"{% for i in 5 %}{% endfor %}", "line 1: 'int' object is not iterable"},
      {"{% macro m() %}{% endmacro %}\n{{ m(1) }}",
       "line 2: macro 'm' takes not more than 0 arguments"},
      {"{{ x|tojson }}", "line 1: Object of type Undefined is not JSON serializable"},
      {"{{ 9223372036854775807 + 1 }}",
       "line 1: an integer does not fit 64 bits, which is not supported"},
  };
  const ordered_json input = {{"d", ordered_json::object()}};
  for (const auto& [source, message] : cases) {
    const base::Error error = ErrorOf(source, input);
    EXPECT_EQ(error.code, Code::kFailedPrecondition) << source;
    EXPECT_EQ(error.message, message) << source;
  }
}

TEST(TemplateErrors, GiveTheTemplatesOwnMessageAsItIs) {
  const base::Error error =
      ErrorOf("a\n{{ raise_exception('No ' ~ what ~ ' here') }}", {{"what", "system\nmessage"}});
  EXPECT_EQ(error.code, Code::kInvalidArgument);
  EXPECT_EQ(error.message, "No system\nmessage here");
}

TEST(TemplateErrors, SayWhatIsNotSupported) {
  for (const char* source : {"{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}",
                             "{% from 'x' import y %}", "{% block b %}{% endblock %}",
                             "{% autoescape true %}{% endautoescape %}"}) {
    const base::Error error = ErrorOf(source);
    EXPECT_EQ(error.code, Code::kUnimplemented) << source;
    EXPECT_THAT(error.message, HasSubstr("is not supported in chat templates")) << source;
  }
  for (const char* source :
       {"{{ [1]|random }}", "{{ 'a'|urlize }}", "{{ 1|pprint }}", "{{ lipsum() }}"}) {
    EXPECT_THAT(ErrorOf(source).message, HasSubstr("not supported in chat templates")) << source;
  }
}

}  // namespace
}  // namespace cloister::model::jinja
