#include "model/jinja/callables.h"
#include "model/jinja/comparison.h"
#include "model/jinja/iterators.h"
#include "model/jinja/operators.h"
#include "model/jinja/registry.h"
#include "model/jinja/string_classes.h"
#include "model/jinja/text_of.h"

namespace cloister::model::jinja {
namespace {

bool IsCallable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kMacro:
    case Kind::kMethod:
    case Kind::kFunction:
    case Kind::kLoop:
    case Kind::kJoiner:
      return true;
    default:
      return false;
  }
}

bool IsDefined(const Value& value) { return !value.is(Kind::kUndefined); }
bool IsUndefined(const Value& value) { return value.is(Kind::kUndefined); }
bool IsNone(const Value& value) { return value.is(Kind::kNone); }
bool IsBoolean(const Value& value) { return value.is(Kind::kBool); }
bool IsTrue(const Value& value) { return value.is(Kind::kBool) && value.boolean(); }
bool IsFalse(const Value& value) { return value.is(Kind::kBool) && !value.boolean(); }
bool IsInteger(const Value& value) { return value.is(Kind::kInt) || value.is(Kind::kBigInt); }
bool IsFloat(const Value& value) { return value.is(Kind::kFloat); }
bool IsNumber(const Value& value) { return value.is_number() || value.is(Kind::kBigInt); }
bool IsString(const Value& value) { return value.is(Kind::kString); }
bool IsMapping(const Value& value) { return value.is(Kind::kDict); }
bool IsEscaped(const Value& value) {
  return value.is(Kind::kString) && value.as<String>().markup();
}
// Of what has a length and items by index or key; an undefined value counts.
bool HasItems(const Value& value) {
  return value.is(Kind::kString) || IsSequence(value) || value.is(Kind::kDict) ||
         value.is(Kind::kRange) || value.is(Kind::kUndefined);
}
template <bool (*is)(const Value&)>
base::Result<bool> Simple(Runtime&, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("the test", {}, 0, arguments));
  return is(value);
}

template <bool (*is)(std::string_view)>
base::Result<bool> OfText(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("the test", {}, 0, arguments));
  if (value.is(Kind::kString)) return is(Text(value));
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, TextOf(value));
  runtime.heap().Spend(text.size() / 2);
  return is(text);
}

base::Result<bool> RestIs(Runtime& runtime, const Value& value, const Value& divisor,
                          std::int64_t rest) {
  CLOISTER_ASSIGN_OR_RETURN(const Value modulo,
                            Apply(runtime, BinaryOperator::kModulo, value, divisor));
  return Equal(modulo, Value::Int(rest));
}

template <int rest>
base::Result<bool> Parity(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("the test", {}, 0, arguments));
  return RestIs(runtime, value, Value::Int(2), rest);
}

base::Result<bool> DivisibleBy(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("divisibleby", {"num"}, 1, arguments));
  return RestIs(runtime, value, bound[0], 0);
}

base::Result<bool> IsEqual(Runtime&, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("eq", {"other"}, 1, arguments));
  return Equal(value, bound[0]);
}

base::Result<bool> IsNotEqual(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const bool equal, IsEqual(runtime, value, arguments));
  return !equal;
}

// Whether the order of the value and the argument is -1 or 0 or 1: a bit for each.
template <int accepted>
base::Result<bool> Ordered(Runtime&, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("a comparison", {"other"}, 1, arguments));
  CLOISTER_ASSIGN_OR_RETURN(const int order, Order(value, bound[0]));
  return order <= 1 && (accepted >> (order + 1) & 1) != 0;
}
constexpr int kLess = 1, kSame = 2, kGreater = 4;

base::Result<bool> SameAs(Runtime&, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("sameas", {"other"}, 1, arguments));
  return Same(value, bound[0]);
}

template <typename Found, Found (*find)(std::string_view)>
base::Result<bool> IsNameOf(Runtime&, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("the test", {}, 0, arguments));
  CLOISTER_RETURN_IF_ERROR(CheckHashable(value));
  return value.is(Kind::kString) && find(Text(value)) != nullptr;
}

base::Result<bool> In(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("in", {"seq"}, 1, arguments));
  return Contains(runtime, bound[0], value);
}

struct NamedTest {
  std::string_view name;
  TestOperation operation;
};

constexpr NamedTest kTests[] = {
    {"!=", {IsNotEqual, Price::kConstant}},
    {"<", {Ordered<kLess>, Price::kConstant}},
    {"<=", {Ordered<kLess | kSame>, Price::kConstant}},
    {"==", {IsEqual, Price::kConstant}},
    {">", {Ordered<kGreater>, Price::kConstant}},
    {">=", {Ordered<kGreater | kSame>, Price::kConstant}},
    {"boolean", {Simple<IsBoolean>, Price::kConstant}},
    {"callable", {Simple<IsCallable>, Price::kConstant}},
    {"defined", {Simple<IsDefined>, Price::kConstant}},
    {"divisibleby", DivisibleBy},
    {"eq", {IsEqual, Price::kConstant}},
    {"equalto", {IsEqual, Price::kConstant}},
    {"escaped", {Simple<IsEscaped>, Price::kConstant}},
    {"even", Parity<0>},
    {"false", {Simple<IsFalse>, Price::kConstant}},
    {"filter", {IsNameOf<Operation, FindFilter>, Price::kConstant}},
    {"float", {Simple<IsFloat>, Price::kConstant}},
    {"ge", {Ordered<kGreater | kSame>, Price::kConstant}},
    {"greaterthan", {Ordered<kGreater>, Price::kConstant}},
    {"gt", {Ordered<kGreater>, Price::kConstant}},
    {"in", {In, Price::kConstant}},
    {"integer", {Simple<IsInteger>, Price::kConstant}},
    {"iterable", {Simple<IsIterable>, Price::kConstant}},
    {"le", {Ordered<kLess | kSame>, Price::kConstant}},
    {"lessthan", {Ordered<kLess>, Price::kConstant}},
    {"lower", {OfText<IsLowerText>, Price::kProperties}},
    {"lt", {Ordered<kLess>, Price::kConstant}},
    {"mapping", {Simple<IsMapping>, Price::kConstant}},
    {"ne", {IsNotEqual, Price::kConstant}},
    {"none", {Simple<IsNone>, Price::kConstant}},
    {"number", {Simple<IsNumber>, Price::kConstant}},
    {"odd", Parity<1>},
    {"sameas", {SameAs, Price::kConstant}},
    {"sequence", {Simple<HasItems>, Price::kConstant}},
    {"string", {Simple<IsString>, Price::kConstant}},
    {"test", {IsNameOf<TestOperation, FindTest>, Price::kConstant}},
    {"true", {Simple<IsTrue>, Price::kConstant}},
    {"undefined", {Simple<IsUndefined>, Price::kConstant}},
    {"upper", {OfText<IsUpperText>, Price::kProperties}},
};

}  // namespace

TestOperation FindTest(std::string_view name) {
  for (const NamedTest& test : kTests) {
    if (test.name == name) return test.operation;
  }
  return nullptr;
}

std::vector<std::string_view> TestNames() {
  std::vector<std::string_view> names;
  for (const NamedTest& test : kTests) names.push_back(test.name);
  return names;
}

}  // namespace cloister::model::jinja
