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
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, TextOf(value));
  runtime.heap().SpendBytes(text.size());
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

}  // namespace

TestOperation FindTest(std::string_view name) {
  static constexpr NamedTest kTests[] = {
      {"!=", IsNotEqual},
      {"<", Ordered<kLess>},
      {"<=", Ordered<kLess | kSame>},
      {"==", IsEqual},
      {">", Ordered<kGreater>},
      {">=", Ordered<kGreater | kSame>},
      {"boolean", Simple<IsBoolean>},
      {"callable", Simple<IsCallable>},
      {"defined", Simple<IsDefined>},
      {"divisibleby", DivisibleBy},
      {"eq", IsEqual},
      {"equalto", IsEqual},
      {"escaped", Simple<IsEscaped>},
      {"even", Parity<0>},
      {"false", Simple<IsFalse>},
      {"filter", IsNameOf<Operation, FindFilter>},
      {"float", Simple<IsFloat>},
      {"ge", Ordered<kGreater | kSame>},
      {"greaterthan", Ordered<kGreater>},
      {"gt", Ordered<kGreater>},
      {"in", In},
      {"integer", Simple<IsInteger>},
      {"iterable", Simple<IsIterable>},
      {"le", Ordered<kLess | kSame>},
      {"lessthan", Ordered<kLess>},
      {"lower", OfText<IsLowerText>},
      {"lt", Ordered<kLess>},
      {"mapping", Simple<IsMapping>},
      {"ne", IsNotEqual},
      {"none", Simple<IsNone>},
      {"number", Simple<IsNumber>},
      {"odd", Parity<1>},
      {"sameas", SameAs},
      {"sequence", Simple<HasItems>},
      {"string", Simple<IsString>},
      {"test", IsNameOf<TestOperation, FindTest>},
      {"true", Simple<IsTrue>},
      {"undefined", Simple<IsUndefined>},
      {"upper", OfText<IsUpperText>},
  };
  for (const NamedTest& test : kTests) {
    if (test.name == name) return test.operation;
  }
  return nullptr;
}

}  // namespace cloister::model::jinja
