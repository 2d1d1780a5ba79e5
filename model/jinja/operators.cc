#include "model/jinja/operators.h"

#include <cmath>
#include <limits>

#include "model/jinja/operation.h"
#include "model/jinja/percent_format.h"
#include "model/jinja/text_layout.h"

namespace cloister::model::jinja {
namespace {

std::string_view Sign(BinaryOperator op) {
  switch (op) {
    case BinaryOperator::kAdd:
      return "+";
    case BinaryOperator::kSubtract:
      return "-";
    case BinaryOperator::kMultiply:
      return "*";
    case BinaryOperator::kDivide:
      return "/";
    case BinaryOperator::kFloorDivide:
      return "//";
    case BinaryOperator::kModulo:
      return "%";
    case BinaryOperator::kPower:
      return "**";
  }
  return "?";
}

tl::unexpected<base::Error> Overflow() {
  return Fault("an integer does not fit 64 bits, which is not supported");
}

tl::unexpected<base::Error> ZeroDivision() { return Fault("division by zero"); }

base::Result<Value> Power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return Fault("0.0 cannot be raised to a negative power");
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  std::int64_t result = 1;
  // A base that grows leaves 64 bits within 63 steps; the others are settled at once.
  if (base == 0 || base == 1) return Value::Int(exponent == 0 ? 1 : base);
  if (base == -1) return Value::Int(exponent % 2 == 0 ? 1 : -1);
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) return Overflow();
  }
  return Value::Int(result);
}

base::Result<Value> ApplyToIntegers(BinaryOperator op, std::int64_t left, std::int64_t right) {
  std::int64_t result = 0;
  switch (op) {
    case BinaryOperator::kAdd:
      if (__builtin_add_overflow(left, right, &result)) return Overflow();
      return Value::Int(result);
    case BinaryOperator::kSubtract:
      if (__builtin_sub_overflow(left, right, &result)) return Overflow();
      return Value::Int(result);
    case BinaryOperator::kMultiply:
      if (__builtin_mul_overflow(left, right, &result)) return Overflow();
      return Value::Int(result);
    case BinaryOperator::kDivide:
      if (right == 0) return ZeroDivision();
      return Value::Float(static_cast<double>(static_cast<long double>(left) / right));
    case BinaryOperator::kPower:
      return Power(left, right);
    default:
      break;
  }
  if (right == 0) return ZeroDivision();
  if (right == -1) {  // the one quotient that can overflow
    if (op == BinaryOperator::kModulo) return Value::Int(0);
    if (left == std::numeric_limits<std::int64_t>::min()) return Overflow();
    return Value::Int(-left);
  }
  // C++ rounds to zero, Python down.
  const std::int64_t rest = left % right;
  const bool down = rest != 0 && (rest < 0) != (right < 0);
  if (op == BinaryOperator::kModulo) return Value::Int(down ? rest + right : rest);
  return Value::Int(left / right - (down ? 1 : 0));
}

double FloorModulo(double left, double right) {
  const double rest = std::fmod(left, right);
  if (rest == 0) return std::copysign(0.0, right);
  return (rest < 0) != (right < 0) ? rest + right : rest;
}

double FloorDivide(double left, double right) {
  const double rest = std::fmod(left, right);
  double quotient = (left - rest) / right;
  if (rest != 0 && (rest < 0) != (right < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, left / right);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

base::Result<Value> ApplyToReals(BinaryOperator op, double left, double right) {
  switch (op) {
    case BinaryOperator::kAdd:
      return Value::Float(left + right);
    case BinaryOperator::kSubtract:
      return Value::Float(left - right);
    case BinaryOperator::kMultiply:
      return Value::Float(left * right);
    case BinaryOperator::kPower: {
      if (left == 0 && right < 0) return Fault("0.0 cannot be raised to a negative power");
      if (left < 0 && std::isfinite(right) && right != std::floor(right)) {
        return Fault("a power that is a complex number is not supported");
      }
      const double power = std::pow(left, right);
      if (std::isinf(power) && std::isfinite(left) && std::isfinite(right)) {
        return Fault("numerical result out of range");
      }
      return Value::Float(power);
    }
    default:
      break;
  }
  if (right == 0) return ZeroDivision();
  if (op == BinaryOperator::kDivide) return Value::Float(left / right);
  return Value::Float(op == BinaryOperator::kModulo ? FloorModulo(left, right)
                                                    : FloorDivide(left, right));
}

base::Result<Value> JoinStrings(Heap& heap, const Value& left, const Value& right) {
  const bool a = left.as<String>().markup(), b = right.as<String>().markup();
  CLOISTER_RETURN_IF_ERROR(heap.Admit(Text(left).size() + Text(right).size()));
  if (a == b) return MakeString(heap, Text(left) + Text(right), a);
  CLOISTER_RETURN_IF_ERROR(heap.Admit(5 * (Text(left).size() + Text(right).size())));
  return MakeString(
      heap, (a ? Text(left) : Escape(Text(left))) + (b ? Text(right) : Escape(Text(right))), true);
}

base::Result<Value> MakeLike(Heap& heap, const Value& model, std::vector<Value> items) {
  return model.is(Kind::kList) ? MakeList(heap, std::move(items))
                               : MakeTuple(heap, std::move(items));
}

base::Result<Value> JoinItems(Heap& heap, const Value& left, const Value& right) {
  CLOISTER_RETURN_IF_ERROR(heap.Admit((Items(left).size() + Items(right).size()) * sizeof(Value)));
  std::vector<Value> items;
  items.reserve(Items(left).size() + Items(right).size());
  items.insert(items.end(), Items(left).begin(), Items(left).end());
  items.insert(items.end(), Items(right).begin(), Items(right).end());
  return MakeLike(heap, left, std::move(items));
}

base::Result<Value> Repeat(Heap& heap, const Value& value, std::int64_t count) {
  if (value.is(Kind::kString)) {
    CLOISTER_ASSIGN_OR_RETURN(std::string text, Repeated(heap, Text(value), count));
    return MakeString(heap, std::move(text), value.as<String>().markup());
  }
  const std::size_t size = Items(value).size();
  if (count <= 0 || size == 0) return MakeLike(heap, value, {});
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(count), size * sizeof(Value), &bytes)) {
    bytes = ~std::uint64_t{0};
  }
  CLOISTER_RETURN_IF_ERROR(heap.Admit(bytes));
  std::vector<Value> items;
  items.reserve(size * static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    items.insert(items.end(), Items(value).begin(), Items(value).end());
  }
  return MakeLike(heap, value, std::move(items));
}

bool Repeatable(const Value& value) { return value.is(Kind::kString) || IsSequence(value); }

}  // namespace

base::Result<Value> Apply(Runtime& runtime, BinaryOperator op, const Value& left,
                          const Value& right) {
  if (left.is_integral() && right.is_integral()) {
    return ApplyToIntegers(op, left.integer(), right.integer());
  }
  if (left.is_number() && right.is_number()) {
    return ApplyToReals(op, left.number(), right.number());
  }
  Heap& heap = runtime.heap();
  heap.Spend(StepsThrough(left, Price::kLookThrough) + StepsThrough(right, Price::kLookThrough));
  CLOISTER_RETURN_IF_ERROR(heap.Check());
  if (op == BinaryOperator::kModulo && left.is(Kind::kString)) {
    CLOISTER_ASSIGN_OR_RETURN(std::string text, PercentFormat(runtime, left, right));
    return MakeString(heap, std::move(text), left.as<String>().markup());
  }
  if (left.is(Kind::kUndefined)) return UndefinedFault(left);
  if (right.is(Kind::kUndefined)) return UndefinedFault(right);
  if (op == BinaryOperator::kAdd && left.kind() == right.kind()) {
    if (left.is(Kind::kString)) return JoinStrings(heap, left, right);
    if (IsSequence(left)) return JoinItems(heap, left, right);
  }
  if (op == BinaryOperator::kMultiply) {
    if (Repeatable(left) && right.is_integral()) return Repeat(heap, left, right.integer());
    if (Repeatable(right) && left.is_integral()) return Repeat(heap, right, left.integer());
  }
  if (left.is(Kind::kBigInt) || right.is(Kind::kBigInt)) return Overflow();
  return Fault("unsupported operand types for " + std::string(Sign(op)) + ": '" +
               std::string(TypeName(left)) + "' and '" + std::string(TypeName(right)) + "'");
}

base::Result<Value> Negated(const Value& value) {
  if (value.is_integral()) {
    if (value.integer() == std::numeric_limits<std::int64_t>::min()) return Overflow();
    return Value::Int(-value.integer());
  }
  if (value.is(Kind::kFloat)) return Value::Float(-value.real());
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  if (value.is(Kind::kBigInt)) return Overflow();
  return Fault("bad operand type for unary -: '" + std::string(TypeName(value)) + "'");
}

base::Result<Value> Positive(const Value& value) {
  if (value.is_integral()) return Value::Int(value.integer());
  if (value.is(Kind::kFloat) || value.is(Kind::kBigInt)) return value;
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  return Fault("bad operand type for unary +: '" + std::string(TypeName(value)) + "'");
}

}  // namespace cloister::model::jinja
