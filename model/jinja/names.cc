#include "model/jinja/names.h"

namespace cloister::model::jinja {
namespace {

void VisitExpression(Expression& expression, const NameVisitor& visit) {
  if (expression.kind == ExpressionKind::kName) visit(static_cast<Name&>(expression).name, false);
  ForEachChild(expression, [&](Expression& child) { VisitExpression(child, visit); });
}

void VisitExpression(const ExpressionPointer& expression, const NameVisitor& visit) {
  if (expression != nullptr) VisitExpression(*expression, visit);
}

void VisitMacro(const MacroNode& macro, const NameVisitor& visit) {
  for (const auto& parameter : macro.parameters) visit(parameter.name, true);
  for (const auto& parameter : macro.parameters) VisitExpression(parameter.otherwise, visit);
  VisitNames(macro.body, visit);
}

void VisitFor(const ForNode& loop, const NameVisitor& visit) {
  VisitNames(loop.target, visit);
  VisitExpression(loop.items, visit);
  VisitNames(loop.body, visit);
  VisitNames(loop.otherwise, visit);
  VisitExpression(loop.test, visit);
}

void VisitIf(const If& branches, const NameVisitor& visit) {
  for (const auto& [test, body] : branches.branches) {
    VisitExpression(test, visit);
    VisitNames(body, visit);
  }
  VisitNames(branches.otherwise, visit);
}

void VisitWith(const With& with, const NameVisitor& visit) {
  for (const Target& target : with.targets) VisitNames(target, visit);
  for (const ExpressionPointer& value : with.values) VisitExpression(value, visit);
  VisitNames(with.body, visit);
}

void VisitStatement(const Statement& statement, const NameVisitor& visit) {
  switch (statement.kind) {
    case StatementKind::kOutput:
      return VisitExpression(static_cast<const Output&>(statement).expression, visit);
    case StatementKind::kAssign:
      VisitNames(static_cast<const Assign&>(statement).target, visit);
      return VisitExpression(static_cast<const Assign&>(statement).value, visit);
    case StatementKind::kAssignBlock:
      VisitNames(static_cast<const AssignBlock&>(statement).target, visit);
      VisitExpression(static_cast<const AssignBlock&>(statement).filter, visit);
      return VisitNames(static_cast<const AssignBlock&>(statement).body, visit);
    case StatementKind::kFor:
      return VisitFor(static_cast<const ForNode&>(statement), visit);
    case StatementKind::kIf:
      return VisitIf(static_cast<const If&>(statement), visit);
    case StatementKind::kWith:
      return VisitWith(static_cast<const With&>(statement), visit);
    case StatementKind::kMacro:
      return VisitMacro(static_cast<const MacroNode&>(statement), visit);
    case StatementKind::kCallBlock: {
      const auto& block = static_cast<const CallBlock&>(statement);
      if (block.call != nullptr) VisitExpression(*block.call, visit);
      return VisitMacro(*block.macro, visit);
    }
    case StatementKind::kFilterBlock:
      VisitNames(static_cast<const FilterBlock&>(statement).body, visit);
      return VisitExpression(static_cast<const FilterBlock&>(statement).filter, visit);
    case StatementKind::kScope:
      return VisitNames(static_cast<const Scope&>(statement).body, visit);
    case StatementKind::kBreak:
    case StatementKind::kContinue:
      return;
  }
}

}  // namespace

void VisitNames(const Target& target, const NameVisitor& visit) {
  if (target.kind == Target::Kind::kName) visit(target.name, true);
  for (const Target& part : target.parts) VisitNames(part, visit);
}

void VisitNames(const Body& body, const NameVisitor& visit) {
  for (const auto& statement : body) VisitStatement(*statement, visit);
}

bool ReadsFromOutside(const Body& body, std::string_view name) {
  bool set = false, read = false;
  VisitNames(body, [&](const std::string& found, bool stored) {
    if (found != name) return;
    if (stored) {
      set = true;
    } else if (!set) {
      read = true;
    }
  });
  return read;
}

}  // namespace cloister::model::jinja
