#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "model/jinja/operation.h"
#include "model/jinja/operators.h"

namespace cloister::model::jinja {

// The tree of a template. The parser makes it, the resolver gives every name its variable, and from
// then on it does not change.

// Where a name's value lies: `hops` frames out from the running one, in a slot there.
struct Variable {
  int hops = 0;
  int slot = -1;
};

enum class ExpressionKind {
  kConstant,
  kName,
  kTuple,
  kList,
  kDict,
  kNegative,
  kPositive,
  kNot,
  kAnd,
  kOr,
  kArithmetic,
  kConcat,
  kCompare,
  kConditional,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
};

struct Expression {
  Expression(ExpressionKind kind_in, int line_in) : kind(kind_in), line(line_in) {}
  virtual ~Expression() = default;
  ExpressionKind kind;
  int line;
  int height = 1;  // operators inside one another
};
using ExpressionPointer = std::unique_ptr<Expression>;
using Expressions = std::vector<ExpressionPointer>;

// The spellings of true, false and none, which no variable can have.
inline bool IsConstantName(std::string_view name) {
  return name == "true" || name == "false" || name == "none" || name == "True" || name == "False" ||
         name == "None";
}

struct Constant final : Expression {
  using Content = std::variant<std::monostate, bool, std::int64_t, double, std::string>;
  Constant(int line, Content content_in)
      : Expression(ExpressionKind::kConstant, line), content(std::move(content_in)) {}
  Content content;  // monostate is none
  int index = -1;   // of a string, among the template's
};

struct Name final : Expression {
  Name(int line, std::string name_in)
      : Expression(ExpressionKind::kName, line), name(std::move(name_in)) {}
  std::string name;
  Variable variable;
};

// A tuple, a list, or what `~` joins.
struct Sequence final : Expression {
  using Expression::Expression;
  Expressions items;
};

struct DictDisplay final : Expression {
  explicit DictDisplay(int line) : Expression(ExpressionKind::kDict, line) {}
  Expressions keys, values;
};

// -x, +x, not x
struct Unary final : Expression {
  using Expression::Expression;
  ExpressionPointer operand;
};

// `and`, `or` and arithmetic.
struct Binary final : Expression {
  using Expression::Expression;
  BinaryOperator op = BinaryOperator::kAdd;
  ExpressionPointer left, right;
  // Of a power: a negative left side is the negative of a power. Jinja writes a constant that it
  // computed into Python text, where `-2 ** x` is -(2 ** x); of variables or constants alone,
  // -2 ** 2 is 4.
  bool sign_outside = false;
};

enum class Comparison {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

// a < b <= c
struct Compare final : Expression {
  explicit Compare(int line) : Expression(ExpressionKind::kCompare, line) {}
  ExpressionPointer first;
  std::vector<std::pair<Comparison, ExpressionPointer>> rest;
};

struct Conditional final : Expression {
  explicit Conditional(int line) : Expression(ExpressionKind::kConditional, line) {}
  ExpressionPointer test, then, otherwise;  // `otherwise` may be null
};

struct Attribute final : Expression {
  explicit Attribute(int line) : Expression(ExpressionKind::kAttribute, line) {}
  ExpressionPointer object;
  std::string name;
};

struct Item final : Expression {
  explicit Item(int line) : Expression(ExpressionKind::kItem, line) {}
  ExpressionPointer object, key;
};

struct Slice final : Expression {
  explicit Slice(int line) : Expression(ExpressionKind::kSlice, line) {}
  ExpressionPointer object, start, stop, step;  // those left out are null
};

struct CallArguments {
  Expressions positional;
  std::vector<std::pair<std::string, ExpressionPointer>> named;
  ExpressionPointer more_positional, more_named;  // *x and **x, or null
};

struct Call final : Expression {
  explicit Call(int line) : Expression(ExpressionKind::kCall, line) {}
  ExpressionPointer callee;
  CallArguments arguments;
};

struct Filter final : Expression {
  explicit Filter(int line) : Expression(ExpressionKind::kFilter, line) {}
  ExpressionPointer input;  // null where a block's text is filtered
  std::string name;
  CallArguments arguments;
  Operation operation = nullptr;  // null for a name that no filter has
};

struct Test final : Expression {
  explicit Test(int line) : Expression(ExpressionKind::kTest, line) {}
  ExpressionPointer input;
  std::string name;
  CallArguments arguments;
  TestOperation operation = nullptr;
};

// What can stand left of `=` or behind `for`.
struct Target {
  enum class Kind { kName, kNamespace, kTuple };
  Kind kind = Kind::kName;
  int line = 1;
  std::string name;
  std::string attribute;  // of a namespace
  Variable variable;
  std::vector<Target> parts;  // of a tuple
};

enum class StatementKind {
  kOutput,
  kAssign,
  kAssignBlock,
  kFor,
  kIf,
  kWith,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kScope,
  kBreak,
  kContinue,
};

struct Statement {
  Statement(StatementKind kind_in, int line_in) : kind(kind_in), line(line_in) {}
  virtual ~Statement() = default;
  StatementKind kind;
  int line;
};
using Body = std::vector<std::unique_ptr<Statement>>;

// What is done to a scope's variables where it is entered.
struct Load {
  enum class Kind { kNothing, kUndefined, kOuter, kInput };
  Kind kind = Kind::kUndefined;
  int slot = -1;
  Variable outer;  // copied from
  int input = -1;  // index among the names that the template takes from its input
};
using Loads = std::vector<Load>;

struct Output final : Statement {
  explicit Output(int line) : Statement(StatementKind::kOutput, line) {}
  std::string text;              // written as it is, or
  ExpressionPointer expression;  // evaluated
};

struct Assign final : Statement {
  explicit Assign(int line) : Statement(StatementKind::kAssign, line) {}
  Target target;
  ExpressionPointer value;
};

struct AssignBlock final : Statement {
  explicit AssignBlock(int line) : Statement(StatementKind::kAssignBlock, line) {}
  Target target;
  ExpressionPointer filter;  // a chain of Filter whose innermost input is null, or null
  Body body;
  Loads loads;
};

struct ForNode final : Statement {
  explicit ForNode(int line) : Statement(StatementKind::kFor, line) {}
  Target target;
  ExpressionPointer items, test;  // `test` may be null
  bool recursive = false;
  Body body, otherwise;
  Loads loads, otherwise_loads;
  // The test sees variables of its own.
  Target test_target;
  Loads test_loads;
  int loop_slot = -1;   // of the variable `loop`, where the body mentions it
  int frame_slots = 0;  // of a recursive loop, which runs in a frame of its own
};

struct If final : Statement {
  explicit If(int line) : Statement(StatementKind::kIf, line) {}
  std::vector<std::pair<ExpressionPointer, Body>> branches;
  Body otherwise;
};

struct With final : Statement {
  explicit With(int line) : Statement(StatementKind::kWith, line) {}
  std::vector<Target> targets;
  Expressions values;
  Body body;
  Loads loads;
};

// The parameters and body of a macro or a call block, or the body of a generation block.
struct MacroNode final : Statement {
  MacroNode(StatementKind kind, int line) : Statement(kind, line) {}
  std::string name;  // empty for a block's
  Variable variable;
  struct Parameter {
    std::string name;
    ExpressionPointer otherwise;  // or null
    int slot = -1;
  };
  std::vector<Parameter> parameters;
  Body body;
  int frame_slots = 0;
  Loads loads;
  // Slots of what the body mentions, or -1.
  int caller_slot = -1, kwargs_slot = -1, varargs_slot = -1;
};

struct CallBlock final : Statement {
  explicit CallBlock(int line) : Statement(StatementKind::kCallBlock, line) {}
  std::unique_ptr<Call> call;  // null for a generation block, whose body is run as it is
  std::unique_ptr<MacroNode> macro;
};

struct FilterBlock final : Statement {
  explicit FilterBlock(int line) : Statement(StatementKind::kFilterBlock, line) {}
  ExpressionPointer filter;  // as in AssignBlock
  Body body;
  Loads loads;
};

struct Scope final : Statement {
  explicit Scope(int line) : Statement(StatementKind::kScope, line) {}
  Body body;
  Loads loads;
};

// break or continue
struct LoopControl final : Statement {
  using Statement::Statement;
};

struct Tree {
  Body body;
  int frame_slots = 0;
  Loads loads;
  std::vector<std::string> inputs;   // names that are taken from the input or the globals
  std::vector<std::string> strings;  // of the constants
};

}  // namespace cloister::model::jinja
