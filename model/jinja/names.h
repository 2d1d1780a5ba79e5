#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "model/jinja/ast.h"

namespace cloister::model::jinja {

// Calls `visit(child)` for each expression directly inside `expression`, in Jinja's order.
template <typename Visit>
void ForEachChild(Expression& expression, Visit visit) {
  const auto one = [&](const ExpressionPointer& child) {
    if (child != nullptr) visit(*child);
  };
  const auto all = [&](const Expressions& children) {
    for (const ExpressionPointer& child : children) one(child);
  };
  const auto arguments = [&](const CallArguments& given) {
    all(given.positional);
    for (const auto& [name, value] : given.named) one(value);
    one(given.more_positional);
    one(given.more_named);
  };
  switch (expression.kind) {
    case ExpressionKind::kConstant:
    case ExpressionKind::kName:
      return;
    case ExpressionKind::kTuple:
    case ExpressionKind::kList:
    case ExpressionKind::kConcat:
      return all(static_cast<Sequence&>(expression).items);
    case ExpressionKind::kDict: {
      auto& dict = static_cast<DictDisplay&>(expression);
      for (std::size_t i = 0; i < dict.keys.size(); ++i) {
        one(dict.keys[i]);
        one(dict.values[i]);
      }
      return;
    }
    case ExpressionKind::kNegative:
    case ExpressionKind::kPositive:
    case ExpressionKind::kNot:
      return one(static_cast<Unary&>(expression).operand);
    case ExpressionKind::kAnd:
    case ExpressionKind::kOr:
    case ExpressionKind::kArithmetic:
      one(static_cast<Binary&>(expression).left);
      return one(static_cast<Binary&>(expression).right);
    case ExpressionKind::kCompare:
      one(static_cast<Compare&>(expression).first);
      for (const auto& [sign, operand] : static_cast<Compare&>(expression).rest) one(operand);
      return;
    case ExpressionKind::kConditional:
      one(static_cast<Conditional&>(expression).test);
      one(static_cast<Conditional&>(expression).then);
      return one(static_cast<Conditional&>(expression).otherwise);
    case ExpressionKind::kAttribute:
      return one(static_cast<Attribute&>(expression).object);
    case ExpressionKind::kItem:
      one(static_cast<Item&>(expression).object);
      return one(static_cast<Item&>(expression).key);
    case ExpressionKind::kSlice:
      one(static_cast<Slice&>(expression).object);
      one(static_cast<Slice&>(expression).start);
      one(static_cast<Slice&>(expression).stop);
      return one(static_cast<Slice&>(expression).step);
    case ExpressionKind::kCall:
      one(static_cast<Call&>(expression).callee);
      return arguments(static_cast<Call&>(expression).arguments);
    case ExpressionKind::kFilter:
      one(static_cast<Filter&>(expression).input);
      return arguments(static_cast<Filter&>(expression).arguments);
    case ExpressionKind::kTest:
      one(static_cast<Test&>(expression).input);
      return arguments(static_cast<Test&>(expression).arguments);
  }
}

// Every name that the statements read (`stored` false) or set, whatever they are nested in, in
// Jinja's order.
using NameVisitor = std::function<void(const std::string& name, bool stored)>;
void VisitNames(const Body& body, const NameVisitor& visit);
void VisitNames(const Target& target, const NameVisitor& visit);

// Whether the statements read `name` without having set it before.
bool ReadsFromOutside(const Body& body, std::string_view name);

}  // namespace cloister::model::jinja
