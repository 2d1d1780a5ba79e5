#include <cmath>

#include "model/jinja/access.h"
#include "model/jinja/comparison.h"
#include "model/jinja/interpreter_scopes.h"
#include "model/jinja/iterators.h"
#include "model/jinja/text_of.h"

namespace cloister::model::jinja {

base::Result<Value> Interpreter::Evaluate(const Expression& expression) {
  line_ = expression.line;
  heap_.Spend(1);
  CLOISTER_RETURN_IF_ERROR(heap_.Check());
  if (expression.kind == ExpressionKind::kConstant) {
    return EvaluateConstant(static_cast<const Constant&>(expression));
  }
  if (expression.kind == ExpressionKind::kName) {
    return EvaluateName(static_cast<const Name&>(expression));
  }
  const Depth depth(*this);
  if (depth_ > heap_.limits().evaluation_depth) return TooDeep();
  return EvaluateDeeply(expression);
}

base::Result<Value> Interpreter::EvaluateDeeply(const Expression& expression) {
  switch (expression.kind) {
    case ExpressionKind::kConstant:
    case ExpressionKind::kName:
      break;
    case ExpressionKind::kTuple:
    case ExpressionKind::kList:
      return EvaluateSequence(static_cast<const Sequence&>(expression));
    case ExpressionKind::kConcat:
      return EvaluateConcat(static_cast<const Sequence&>(expression));
    case ExpressionKind::kDict:
      return EvaluateDict(static_cast<const DictDisplay&>(expression));
    case ExpressionKind::kNegative:
    case ExpressionKind::kPositive:
    case ExpressionKind::kNot:
      return EvaluateUnary(static_cast<const Unary&>(expression));
    case ExpressionKind::kAnd:
    case ExpressionKind::kOr:
      return EvaluateLogical(static_cast<const Binary&>(expression));
    case ExpressionKind::kArithmetic:
      return EvaluateArithmetic(static_cast<const Binary&>(expression));
    case ExpressionKind::kCompare:
      return EvaluateCompare(static_cast<const Compare&>(expression));
    case ExpressionKind::kConditional:
      return EvaluateConditional(static_cast<const Conditional&>(expression));
    case ExpressionKind::kAttribute:
      return EvaluateAttribute(static_cast<const Attribute&>(expression));
    case ExpressionKind::kItem:
      return EvaluateItem(static_cast<const Item&>(expression));
    case ExpressionKind::kSlice:
      return EvaluateSlice(static_cast<const Slice&>(expression));
    case ExpressionKind::kCall:
      return EvaluateCall(static_cast<const jinja::Call&>(expression), nullptr);
    case ExpressionKind::kFilter:
      return EvaluateFilter(static_cast<const Filter&>(expression));
    case ExpressionKind::kTest:
      return EvaluateTest(static_cast<const Test&>(expression));
  }
  return Value::None();
}

base::Result<Value> Interpreter::EvaluateConstant(const Constant& constant) {
  if (constant.index >= 0) {
    const auto index = static_cast<std::size_t>(constant.index);
    if (strings_[index].missing()) strings_[index] = MakeString(heap_, tree_.strings[index]);
    return strings_[index];
  }
  if (const auto* integer = std::get_if<std::int64_t>(&constant.content)) {
    return Value::Int(*integer);
  }
  if (const auto* boolean = std::get_if<bool>(&constant.content)) return Value::Bool(*boolean);
  if (const auto* real = std::get_if<double>(&constant.content)) return Value::Float(*real);
  return Value::None();
}

base::Result<Value> Interpreter::EvaluateName(const Name& name) {
  const Value& value = frame_->At(name.variable.hops, name.variable.slot);
  return value.missing() ? UndefinedName(heap_, name.name) : value;
}

base::Result<std::vector<Value>> Interpreter::EvaluateAll(const Expressions& expressions) {
  std::vector<Value> values;
  values.reserve(expressions.size());
  for (const ExpressionPointer& expression : expressions) {
    CLOISTER_ASSIGN_OR_RETURN(Value value, Evaluate(*expression));
    values.push_back(std::move(value));
  }
  return values;
}

base::Result<Value> Interpreter::EvaluateSequence(const Sequence& sequence) {
  CLOISTER_ASSIGN_OR_RETURN(std::vector<Value> items, EvaluateAll(sequence.items));
  return sequence.kind == ExpressionKind::kList ? MakeList(heap_, std::move(items))
                                                : MakeTuple(heap_, std::move(items));
}

base::Result<Value> Interpreter::EvaluateConcat(const Sequence& sequence) {
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<Value> items, EvaluateAll(sequence.items));
  std::string text;
  for (const Value& item : items) {
    CLOISTER_RETURN_IF_ERROR(AppendText(item, text));
  }
  return MakeString(heap_, std::move(text));
}

base::Result<Value> Interpreter::EvaluateDict(const DictDisplay& dict) {
  std::vector<Dict::Entry> entries;
  for (std::size_t i = 0; i < dict.keys.size(); ++i) {
    CLOISTER_ASSIGN_OR_RETURN(Value key, Evaluate(*dict.keys[i]));
    CLOISTER_ASSIGN_OR_RETURN(Value value, Evaluate(*dict.values[i]));
    entries.emplace_back(std::move(key), std::move(value));
  }
  return MakeDict(heap_, std::move(entries));
}

base::Result<Value> Interpreter::EvaluateUnary(const Unary& unary) {
  CLOISTER_ASSIGN_OR_RETURN(const Value value, Evaluate(*unary.operand));
  if (unary.kind == ExpressionKind::kNot) return Value::Bool(!Truth(value));
  return unary.kind == ExpressionKind::kNegative ? Negated(value) : Positive(value);
}

base::Result<Value> Interpreter::EvaluateLogical(const Binary& binary) {
  CLOISTER_ASSIGN_OR_RETURN(Value left, Evaluate(*binary.left));
  const bool decided = Truth(left) == (binary.kind == ExpressionKind::kOr);
  if (decided) return left;
  return Evaluate(*binary.right);
}

base::Result<Value> Interpreter::EvaluateArithmetic(const Binary& binary) {
  CLOISTER_ASSIGN_OR_RETURN(const Value left, Evaluate(*binary.left));
  CLOISTER_ASSIGN_OR_RETURN(const Value right, Evaluate(*binary.right));
  const bool negative =
      left.is(Kind::kFloat) ? std::signbit(left.real()) : left.is_integral() && left.integer() < 0;
  if (!binary.sign_outside || !negative) return Apply(*this, binary.op, left, right);
  CLOISTER_ASSIGN_OR_RETURN(const Value positive, Negated(left));
  CLOISTER_ASSIGN_OR_RETURN(const Value power, Apply(*this, binary.op, positive, right));
  return Negated(power);
}

namespace {

base::Result<bool> Holds(Runtime& runtime, Comparison sign, const Value& left, const Value& right) {
  const auto ordered = [&](std::string_view text, auto accepts) -> base::Result<bool> {
    CLOISTER_ASSIGN_OR_RETURN(const int order, Order(left, right, text));
    return accepts(order);
  };
  switch (sign) {
    case Comparison::kEqual:
      return Equal(left, right);
    case Comparison::kNotEqual:
      return !Equal(left, right);
    case Comparison::kLess:
      return ordered("<", [](int order) { return order == -1; });
    case Comparison::kLessEqual:
      return ordered("<=", [](int order) { return order <= 0; });
    case Comparison::kGreater:
      return ordered(">", [](int order) { return order == 1; });
    case Comparison::kGreaterEqual:
      return ordered(">=", [](int order) { return order == 0 || order == 1; });
    case Comparison::kIn:
      return Contains(runtime, right, left);
    case Comparison::kNotIn: {
      CLOISTER_ASSIGN_OR_RETURN(const bool in, Contains(runtime, right, left));
      return !in;
    }
  }
  return false;
}

}  // namespace

base::Result<Value> Interpreter::EvaluateCompare(const Compare& compare) {
  CLOISTER_ASSIGN_OR_RETURN(Value left, Evaluate(*compare.first));
  for (const auto& [sign, operand] : compare.rest) {
    CLOISTER_ASSIGN_OR_RETURN(Value right, Evaluate(*operand));
    CLOISTER_ASSIGN_OR_RETURN(const bool holds, Holds(*this, sign, left, right));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

base::Result<Value> Interpreter::EvaluateConditional(const Conditional& conditional) {
  CLOISTER_ASSIGN_OR_RETURN(const Value test, Evaluate(*conditional.test));
  if (Truth(test)) return Evaluate(*conditional.then);
  if (conditional.otherwise != nullptr) return Evaluate(*conditional.otherwise);
  return MakeUndefined(heap_,
                       "the inline if-expression evaluated to false and has no else section");
}

base::Result<Value> Interpreter::EvaluateAttribute(const Attribute& attribute) {
  CLOISTER_ASSIGN_OR_RETURN(const Value object, Evaluate(*attribute.object));
  return GetAttribute(*this, object, attribute.name);
}

base::Result<Value> Interpreter::EvaluateItem(const Item& item) {
  CLOISTER_ASSIGN_OR_RETURN(const Value object, Evaluate(*item.object));
  CLOISTER_ASSIGN_OR_RETURN(const Value key, Evaluate(*item.key));
  return GetItem(*this, object, key);
}

base::Result<Value> Interpreter::EvaluateOr(const ExpressionPointer& expression, Value otherwise) {
  if (expression == nullptr) return otherwise;
  return Evaluate(*expression);
}

base::Result<Value> Interpreter::EvaluateSlice(const Slice& slice) {
  CLOISTER_ASSIGN_OR_RETURN(const Value object, Evaluate(*slice.object));
  CLOISTER_ASSIGN_OR_RETURN(const Value start, EvaluateOr(slice.start, Value::None()));
  CLOISTER_ASSIGN_OR_RETURN(const Value stop, EvaluateOr(slice.stop, Value::None()));
  CLOISTER_ASSIGN_OR_RETURN(const Value step, EvaluateOr(slice.step, Value::None()));
  return GetSlice(*this, object, start, stop, step);
}

base::Result<Arguments> Interpreter::EvaluateArguments(const CallArguments& arguments) {
  Arguments result;
  CLOISTER_ASSIGN_OR_RETURN(result.positional, EvaluateAll(arguments.positional));
  for (const auto& [name, expression] : arguments.named) {
    CLOISTER_ASSIGN_OR_RETURN(Value value, Evaluate(*expression));
    result.named.emplace_back(name, std::move(value));
  }
  if (arguments.more_positional != nullptr) {
    CLOISTER_ASSIGN_OR_RETURN(const Value more, Evaluate(*arguments.more_positional));
    CLOISTER_ASSIGN_OR_RETURN(const std::vector<Value> items, Collect(*this, more));
    CLOISTER_RETURN_IF_ERROR(heap_.Admit(items.size() * sizeof(Value)));
    result.positional.insert(result.positional.end(), items.begin(), items.end());
  }
  if (arguments.more_named == nullptr) return result;
  CLOISTER_ASSIGN_OR_RETURN(const Value more, Evaluate(*arguments.more_named));
  if (!more.is(Kind::kDict)) {
    return Fault("argument after ** must be a mapping, not " + std::string(TypeName(more)));
  }
  heap_.Spend(more.as<Dict>().entries().size() * (1 + arguments.named.size()));
  CLOISTER_RETURN_IF_ERROR(heap_.Check());
  for (const auto& [key, value] : more.as<Dict>().entries()) {
    if (!key.is(Kind::kString)) return Fault("keywords must be strings");
    CLOISTER_RETURN_IF_ERROR(heap_.Admit(Text(key).size()));
    for (const auto& [name, expression] : arguments.named) {
      if (name == Text(key))
        return Fault("got multiple values for keyword argument '" + name + "'");
    }
    result.named.emplace_back(Text(key), value);
  }
  return result;
}

base::Result<Value> Interpreter::EvaluateCall(const jinja::Call& call, const Value* caller) {
  Value callee, self;
  Operation method;
  if (call.callee->kind == ExpressionKind::kAttribute) {
    // A method is called at once, without a value for it.
    const auto& attribute = static_cast<const Attribute&>(*call.callee);
    CLOISTER_ASSIGN_OR_RETURN(self, Evaluate(*attribute.object));
    method = FindMethod(self, attribute.name);
    if (method == nullptr) {
      CLOISTER_ASSIGN_OR_RETURN(callee, GetAttribute(*this, self, attribute.name));
    }
  } else {
    CLOISTER_ASSIGN_OR_RETURN(callee, Evaluate(*call.callee));
  }
  CLOISTER_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(call.arguments));
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  line_ = call.line;
  if (method) return method(*this, self, arguments);
  return Call(callee, std::move(arguments));
}

base::Result<Value> Interpreter::EvaluateFilter(const Filter& filter) {
  Value input = block_text_;
  if (filter.input != nullptr) {
    CLOISTER_ASSIGN_OR_RETURN(input, Evaluate(*filter.input));
  }
  CLOISTER_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(filter.arguments));
  line_ = filter.line;
  if (filter.operation == nullptr) return Fault("there is no filter named '" + filter.name + "'");
  return filter.operation(*this, input, arguments);
}

base::Result<Value> Interpreter::EvaluateTest(const Test& test) {
  CLOISTER_ASSIGN_OR_RETURN(const Value input, Evaluate(*test.input));
  CLOISTER_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(test.arguments));
  line_ = test.line;
  if (test.operation == nullptr) return Fault("there is no test named '" + test.name + "'");
  CLOISTER_ASSIGN_OR_RETURN(const bool holds, test.operation(*this, input, arguments));
  return Value::Bool(holds);
}

}  // namespace cloister::model::jinja
