#include "model/jinja/constant_expressions.h"

#include <algorithm>

namespace cloister::model::jinja {
namespace {

bool IsConstantOrAbsent(const ExpressionPointer& expression) {
  return expression == nullptr || IsConstant(*expression);
}

bool AreConstant(const Expressions& expressions) {
  return std::all_of(expressions.begin(), expressions.end(), IsConstantOrAbsent);
}

bool AreConstant(const CallArguments& arguments) {
  return AreConstant(arguments.positional) &&
         std::all_of(arguments.named.begin(), arguments.named.end(),
                     [](const auto& named) { return IsConstantOrAbsent(named.second); }) &&
         IsConstantOrAbsent(arguments.more_positional) && IsConstantOrAbsent(arguments.more_named);
}

bool IsConstantFilter(const Filter& filter) {
  // These are given the context of the rendering.
  for (const char* name : {"map", "reject", "rejectattr", "select", "selectattr"}) {
    if (filter.name == name) return false;
  }
  return filter.input != nullptr && IsConstant(*filter.input) && AreConstant(filter.arguments);
}

bool IsConstantCompare(const Compare& compare) {
  return IsConstant(*compare.first) &&
         std::all_of(compare.rest.begin(), compare.rest.end(),
                     [](const auto& operand) { return IsConstant(*operand.second); });
}

}  // namespace

bool IsConstant(const Expression& expression) {
  switch (expression.kind) {
    case ExpressionKind::kConstant:
      return true;
    case ExpressionKind::kName:
    case ExpressionKind::kCall:
      return false;
    case ExpressionKind::kTuple:
    case ExpressionKind::kList:
    case ExpressionKind::kConcat:
      return AreConstant(static_cast<const Sequence&>(expression).items);
    case ExpressionKind::kDict:
      return AreConstant(static_cast<const DictDisplay&>(expression).keys) &&
             AreConstant(static_cast<const DictDisplay&>(expression).values);
    case ExpressionKind::kNegative:
    case ExpressionKind::kPositive:
    case ExpressionKind::kNot:
      return IsConstant(*static_cast<const Unary&>(expression).operand);
    case ExpressionKind::kAnd:
    case ExpressionKind::kOr:
    case ExpressionKind::kArithmetic:
      return IsConstant(*static_cast<const Binary&>(expression).left) &&
             IsConstant(*static_cast<const Binary&>(expression).right);
    case ExpressionKind::kCompare:
      return IsConstantCompare(static_cast<const Compare&>(expression));
    case ExpressionKind::kConditional: {
      const auto& conditional = static_cast<const Conditional&>(expression);
      return IsConstant(*conditional.test) && IsConstant(*conditional.then) &&
             IsConstantOrAbsent(conditional.otherwise);
    }
    case ExpressionKind::kAttribute:
      return IsConstant(*static_cast<const Attribute&>(expression).object);
    case ExpressionKind::kItem:
      return IsConstant(*static_cast<const Item&>(expression).object) &&
             IsConstant(*static_cast<const Item&>(expression).key);
    case ExpressionKind::kSlice: {
      const auto& slice = static_cast<const Slice&>(expression);
      return IsConstant(*slice.object) && IsConstantOrAbsent(slice.start) &&
             IsConstantOrAbsent(slice.stop) && IsConstantOrAbsent(slice.step);
    }
    case ExpressionKind::kFilter:
      return IsConstantFilter(static_cast<const Filter&>(expression));
    case ExpressionKind::kTest:
      return IsConstant(*static_cast<const Test&>(expression).input) &&
             AreConstant(static_cast<const Test&>(expression).arguments);
  }
  return false;
}

}  // namespace cloister::model::jinja
