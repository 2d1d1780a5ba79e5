#include <cmath>

#include "model/jinja/filters.h"
#include "model/jinja/numbers.h"
#include "model/jinja/operators.h"

namespace cloister::model::jinja {
namespace {

base::Result<Value> Abs(Runtime&, const Value& value, Arguments& arguments) {
  CLOISTER_RETURN_IF_ERROR(Bind("abs", {}, 0, arguments));
  if (value.is(Kind::kFloat)) return Value::Float(std::fabs(value.real()));
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  if (!value.is_integral()) {
    return Fault("bad operand type for abs(): '" + std::string(TypeName(value)) + "'");
  }
  return value.integer() < 0 ? Negated(value) : Value::Int(value.integer());
}

// int(value) of a float: empty where that is no error that the filter swallows.
base::Result<Value> Truncated(double value, const Value& otherwise) {
  if (std::isnan(value)) return otherwise;
  if (std::isinf(value)) return Fault("cannot convert float infinity to integer");
  if (!(std::fabs(value) < 9223372036854775808.0)) {
    return Fault("an integer does not fit 64 bits, which is not supported");
  }
  return Value::Int(static_cast<std::int64_t>(value));
}

base::Result<Value> Int(Runtime&, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("int", {"default", "base"}, 0, arguments));
  const Value otherwise = bound[0].missing() ? Value::Int(0) : bound[0];
  if (value.is(Kind::kBigInt)) return value;
  if (value.is_integral()) return Value::Int(value.integer());
  if (value.is(Kind::kFloat)) return Truncated(value.real(), otherwise);
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  if (!value.is(Kind::kString)) return otherwise;
  std::int64_t base = 10;
  if (!bound[1].missing()) {
    CLOISTER_ASSIGN_OR_RETURN(base, AsInteger(bound[1]));
  }
  if (const auto integer = ParseInteger(Text(value), base)) return Value::Int(*integer);
  const auto real = ParseFloat(Text(value));
  if (!real || !std::isfinite(*real)) return otherwise;
  return Truncated(*real, otherwise);
}

base::Result<Value> Float(Runtime&, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("float", {"default"}, 0, arguments));
  if (value.is_number()) return Value::Float(value.number());
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  const Value otherwise = bound[0].missing() ? Value::Float(0) : bound[0];
  if (!value.is(Kind::kString)) return otherwise;
  const auto real = ParseFloat(Text(value));
  return real ? Value::Float(*real) : otherwise;
}

// Python's round() of an integer: to tens, hundreds, …, half to even.
base::Result<Value> RoundInteger(std::int64_t value, std::int64_t digits) {
  if (digits >= 0) return Value::Int(value);
  if (digits < -18) return Value::Int(0);
  std::int64_t scale = 1;
  for (; digits < 0; ++digits) scale *= 10;
  std::int64_t quotient = value / scale, rest = value % scale;
  if (rest < 0) {
    rest += scale;
    --quotient;
  }
  const bool up = rest > scale - rest || (rest == scale - rest && quotient % 2 != 0);
  std::int64_t result = 0;
  if (__builtin_mul_overflow(quotient + (up ? 1 : 0), scale, &result)) {
    return Fault("an integer does not fit 64 bits, which is not supported");
  }
  return Value::Int(result);
}

base::Result<Value> Round(Runtime&, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("round", {"precision", "method"}, 0, arguments));
  const std::string method = bound[1].is(Kind::kString) ? Text(bound[1])
                             : bound[1].missing()       ? "common"
                                                        : "";
  if (method != "common" && method != "ceil" && method != "floor") {
    return Fault("round()'s method must be common, ceil or floor");
  }
  std::int64_t precision = 0;
  if (!bound[0].missing()) {
    CLOISTER_ASSIGN_OR_RETURN(precision, AsInteger(bound[0]));
  }
  if (!value.is_number()) {
    if (value.is(Kind::kUndefined)) return UndefinedFault(value);
    return Fault("type " + std::string(TypeName(value)) + " cannot be rounded");
  }
  if (method == "common") {
    if (value.is_integral()) return RoundInteger(value.integer(), precision);
    return Value::Float(RoundTo(value.real(), precision));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value.number() * scale;
  if (!std::isfinite(scaled) || !std::isfinite(scale)) return Fault("cannot round infinity");
  return Value::Float((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

base::Result<Value> FileSizeFormat(Runtime& runtime, const Value& value, Arguments& arguments) {
  CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("filesizeformat", {"binary"}, 0, arguments));
  std::optional<double> bytes;
  if (value.is_number()) bytes = value.number();
  if (value.is(Kind::kString)) bytes = ParseFloat(Text(value));
  if (value.is(Kind::kUndefined)) return UndefinedFault(value);
  if (!bytes || !std::isfinite(*bytes)) return Fault("filesizeformat() needs a number");
  const bool binary = Truth(bound[0]);
  const double base = binary ? 1024 : 1000;
  Heap& heap = runtime.heap();
  if (*bytes == 1) return MakeString(heap, "1 Byte");
  if (*bytes < base) {
    CLOISTER_ASSIGN_OR_RETURN(const Value whole, Truncated(*bytes, Value::Int(0)));
    return MakeString(heap, std::to_string(whole.integer()) + " Bytes");
  }
  static constexpr char kPrefixes[] = "kMGTPEZY";
  double unit = base;
  std::size_t prefix = 0;
  while (prefix < 7 && *bytes >= unit * base) {
    unit *= base;
    ++prefix;
  }
  std::string text(400, '\0');
  const int size = std::snprintf(text.data(), text.size(), "%.1f ", *bytes / unit);
  text.resize(static_cast<std::size_t>(std::max(size, 0)));
  const char letter = binary && prefix == 0 ? 'K' : kPrefixes[prefix];
  return MakeString(heap, text + letter + (binary ? "iB" : "B"));
}

}  // namespace

Operations NumberFilters() {
  static constexpr NamedOperation kFilters[] = {
      {"abs", Abs},
      {"filesizeformat", {FileSizeFormat, Price::kProperties}},
      {"float", {Float, Price::kProperties}},
      {"int", {Int, Price::kProperties}},
      {"round", Round}};
  static_assert(IsSorted(kFilters));
  return kFilters;
}

}  // namespace cloister::model::jinja
