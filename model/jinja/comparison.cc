#include "model/jinja/comparison.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "model/jinja/text_search.h"

namespace cloister::model::jinja {
namespace {

bool IsAnyNumber(const Value& value) { return value.is_number() || value.is(Kind::kBigInt); }

// -1, 0, 1, or 2 where one is NaN. A long double holds every integer of 64 bits and every double.
int OrderNumbers(const Value& left, const Value& right) {
  if (left.is_integral() && right.is_integral()) {
    return left.integer() < right.integer() ? -1 : left.integer() > right.integer() ? 1 : 0;
  }
  const auto wide = [](const Value& value) {
    if (value.is(Kind::kBigInt)) return static_cast<long double>(value.as<BigInt>().value());
    return value.is(Kind::kFloat) ? static_cast<long double>(value.real())
                                  : static_cast<long double>(value.integer());
  };
  const long double a = wide(left), b = wide(right);
  if (std::isnan(a) || std::isnan(b)) return 2;
  return a < b ? -1 : a > b ? 1 : 0;
}

bool EqualItems(const std::vector<Value>& left, const std::vector<Value>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), Equal);
}

bool EqualDicts(const Dict& left, const Dict& right) {
  if (left.entries().size() != right.entries().size()) return false;
  return std::all_of(left.entries().begin(), left.entries().end(), [&](const Dict::Entry& entry) {
    const Value* other = right.Find(entry.first);
    return other != nullptr && Equal(entry.second, *other);
  });
}

bool EqualRanges(const Range& left, const Range& right) {
  if (left.length() != right.length()) return false;
  if (left.length() == 0) return true;
  return left.start() == right.start() && (left.length() == 1 || left.step() == right.step());
}

// Views of keys and items are sets.
bool EqualViews(const View& left, const View& right) {
  if (&left == &right) return true;
  if (left.part() != right.part() || left.part() == View::Part::kValues) return false;
  const Dict &a = left.dict(), &b = right.dict();
  if (left.part() == View::Part::kItems) return EqualDicts(a, b);
  return a.entries().size() == b.entries().size() &&
         std::all_of(a.entries().begin(), a.entries().end(),
                     [&](const Dict::Entry& entry) { return b.Find(entry.first) != nullptr; });
}

bool EqualObjects(const Value& left, const Value& right) {
  // A list may hold another many times over: once the steps are spent any answer will do, because
  // the rendering fails.
  left.object()->heap().Spend(1);
  if (!left.object()->heap().within()) return false;
  switch (left.kind()) {
    case Kind::kUndefined:
      return true;
    case Kind::kString:
      left.object()->heap().SpendBytes(std::min(Text(left).size(), Text(right).size()));
      return Text(left) == Text(right);
    case Kind::kList:
    case Kind::kTuple:
      left.object()->heap().Spend(std::min(Items(left).size(), Items(right).size()));
      return EqualItems(Items(left), Items(right));
    case Kind::kDict:
      left.object()->heap().Spend(left.as<Dict>().entries().size());
      return EqualDicts(left.as<Dict>(), right.as<Dict>());
    case Kind::kRange:
      return EqualRanges(left.as<Range>(), right.as<Range>());
    case Kind::kView:
      return EqualViews(left.as<View>(), right.as<View>());
    default:
      return left.object() == right.object();
  }
}

base::Result<int> OrderItems(const std::vector<Value>& left, const std::vector<Value>& right,
                             std::string_view sign) {
  for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    if (!Equal(left[i], right[i])) return Order(left[i], right[i], sign);
  }
  return left.size() < right.size() ? -1 : left.size() > right.size() ? 1 : 0;
}

bool InRange(const Value& value, const Range& range) {
  if (!value.is_number() || range.length() == 0) return false;
  if (value.is(Kind::kFloat) && value.real() != std::floor(value.real())) return false;
  const std::int64_t last = range.At(range.length() - 1);
  const std::int64_t low = std::min(range.start(), last), high = std::max(range.start(), last);
  const double number = value.number();
  if (number < static_cast<double>(low) || number > static_cast<double>(high)) return false;
  const std::int64_t integer =
      value.is(Kind::kFloat) ? static_cast<std::int64_t>(number) : value.integer();
  return integer >= low && integer <= high && (integer - range.start()) % range.step() == 0;
}

bool InView(const Value& value, const View& view) {
  if (view.part() == View::Part::kKeys) return view.dict().Find(value) != nullptr;
  view.heap().Spend(view.dict().entries().size());
  for (std::size_t i = 0; i < view.dict().entries().size(); ++i) {
    if (Equal(view.At(i), value)) return true;
  }
  return false;
}

bool Within(const Value& value, const std::vector<Value>& items) {
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& item) { return Equal(item, value); });
}

}  // namespace

bool Equal(const Value& left, const Value& right) {
  if (IsAnyNumber(left) && IsAnyNumber(right)) return OrderNumbers(left, right) == 0;
  if (left.kind() != right.kind()) return false;
  if (!left.holds_object()) return true;  // None
  return EqualObjects(left, right);
}

base::Result<int> Order(const Value& left, const Value& right, std::string_view sign) {
  if (IsAnyNumber(left) && IsAnyNumber(right)) return OrderNumbers(left, right);
  if (left.is(Kind::kUndefined)) return UndefinedFault(left);
  if (right.is(Kind::kUndefined)) return UndefinedFault(right);
  if (left.kind() == right.kind() && left.is(Kind::kString)) {
    left.object()->heap().SpendBytes(std::min(Text(left).size(), Text(right).size()));
    const int order = Text(left).compare(Text(right));  // UTF-8 sorts as code points do
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (left.kind() == right.kind() && IsSequence(left)) {
    left.object()->heap().Spend(std::min(Items(left).size(), Items(right).size()));
    return OrderItems(Items(left), Items(right), sign);
  }
  return Fault("'" + std::string(sign) + "' not supported between instances of '" +
               std::string(TypeName(left)) + "' and '" + std::string(TypeName(right)) + "'");
}

base::Result<bool> ContainedIn(const Value& value, const Value& container) {
  switch (container.kind()) {
    case Kind::kString:
      if (!value.is(Kind::kString)) {
        return Fault("'in <string>' requires string as left operand, not " +
                     std::string(TypeName(value)));
      }
      container.object()->heap().SpendLook(Text(container).size() + Text(value).size());
      CLOISTER_RETURN_IF_ERROR(container.object()->heap().Check());
      return FindBytes(Text(container), Text(value), 0) != std::string_view::npos;
    case Kind::kList:
    case Kind::kTuple:
      container.object()->heap().Spend(Items(container).size());
      return Within(value, Items(container));
    case Kind::kDict:
      CLOISTER_RETURN_IF_ERROR(CheckHashable(value));
      return container.as<Dict>().Find(value) != nullptr;
    case Kind::kView:
      if (container.as<View>().part() == View::Part::kKeys) {
        CLOISTER_RETURN_IF_ERROR(CheckHashable(value));
      }
      return InView(value, container.as<View>());
    case Kind::kRange:
      return InRange(value, container.as<Range>());
    case Kind::kUndefined:
      return false;
    default:
      return Fault("argument of type '" + std::string(TypeName(container)) + "' is not iterable");
  }
}

bool Same(const Value& left, const Value& right) {
  if (left.kind() != right.kind()) return false;
  if (left.is(Kind::kFloat)) return false;
  if (!left.holds_object()) return left.is(Kind::kNone) || left.integer() == right.integer();
  return left.object() == right.object();
}

}  // namespace cloister::model::jinja
