#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/jinja/ast.h"
#include "model/jinja/callables.h"
#include "model/jinja/json_input.h"
#include "model/jinja/loop.h"
#include "model/jinja/text_sink.h"

namespace cloister::model::jinja {

// One rendering of a resolved template. One thread, one use.
class Interpreter final : public Runtime {
 public:
  // `tree` and `limits` outlive it.
  Interpreter(const Tree& tree, const Limits& limits, std::optional<Date> today);

  // `input`'s keys are the template's variables, then those of `more`, which may be null; then come
  // the global functions. kInvalidArgument with the template's own message
  // where it raises an exception; kFailedPrecondition, "line N: …", where it does what Python does
  // not; kOutOfRange, "line N: …", where it passes a limit.
  base::Result<std::string> Run(const nlohmann::ordered_json& input,
                                const nlohmann::ordered_json* more);

  Heap& heap() override { return heap_; }
  const std::optional<Date>& today() const override { return today_; }
  base::Result<Value> Call(const Value& callee, Arguments arguments) override;

  // Whether the loop's test lets an item pass, in the variables of `frame`.
  base::Result<bool> Passes(const ForNode& loop, const Ref<Frame>& frame, const Value& item);

 private:
  enum class Flow { kNext, kBreak, kContinue };
  class Depth;
  class InFrame;
  class Captured;

  base::Status ReadInputs(const nlohmann::ordered_json& input, const nlohmann::ordered_json* more);

  tl::unexpected<base::Error> TooDeep() const;

  // Statements (statements.cc).
  base::Result<Flow> Execute(const Body& body);
  base::Result<Flow> Execute(const Statement& statement);
  base::Status ExecuteOutput(const Output& output);
  base::Status ExecuteAssign(const Assign& assign);
  base::Result<Flow> ExecuteAssignBlock(const AssignBlock& block);
  base::Result<Flow> ExecuteIf(const If& branches);
  base::Result<Flow> ExecuteWith(const With& with);
  base::Status ExecuteMacro(const MacroNode& macro);
  base::Status ExecuteCallBlock(const CallBlock& block);
  base::Result<Flow> ExecuteFilterBlock(const FilterBlock& block);
  base::Result<Value> EvaluateBlockFilter(const ExpressionPointer& filter, Value text);
  void Enter(const Loads& loads);
  base::Status Assigned(const Target& target, const Value& value);
  base::Status CheckNamespaces(const Target& target);
  // Writes what a filter or call block gave, which must be text.
  base::Status WriteText(const Value& value);

  // Loops and macros (calls.cc).
  base::Result<Flow> ExecuteFor(const ForNode& loop);
  base::Result<Flow> RunLoop(const ForNode& node, const Value& source, const Ref<Frame>& around,
                             int depth0);
  base::Result<Value> RunRecursively(const ForNode& node, const Value& source,
                                     const Ref<Frame>& around, int depth0);
  base::Result<Value> CallMacro(const Macro& macro, Arguments arguments);
  base::Status BindSpecials(const MacroNode& node, Arguments& arguments, Frame& frame);
  base::Status BindParameters(const MacroNode& node, Arguments& arguments, Frame& frame);
  base::Result<Value> RunMacro(const MacroNode& node, const Ref<Frame>& frame);

  // Expressions (expressions.cc).
  base::Result<Value> Evaluate(const Expression& expression);
  base::Result<Value> EvaluateDeeply(const Expression& expression);
  base::Result<Value> EvaluateConstant(const Constant& constant);
  base::Result<Value> EvaluateName(const Name& name);
  base::Result<std::vector<Value>> EvaluateAll(const Expressions& expressions);
  base::Result<Value> EvaluateSequence(const Sequence& sequence);
  base::Result<Value> EvaluateConcat(const Sequence& sequence);
  base::Result<Value> EvaluateDict(const DictDisplay& dict);
  base::Result<Value> EvaluateUnary(const Unary& unary);
  base::Result<Value> EvaluateLogical(const Binary& binary);
  base::Result<Value> EvaluateArithmetic(const Binary& binary);
  base::Result<Value> EvaluateCompare(const Compare& compare);
  base::Result<Value> EvaluateConditional(const Conditional& conditional);
  base::Result<Value> EvaluateAttribute(const Attribute& attribute);
  base::Result<Value> EvaluateItem(const Item& item);
  base::Result<Value> EvaluateSlice(const Slice& slice);
  base::Result<Value> EvaluateCall(const jinja::Call& call, const Value* caller);
  base::Result<Value> EvaluateFilter(const Filter& filter);
  base::Result<Value> EvaluateTest(const Test& test);
  base::Result<Arguments> EvaluateArguments(const CallArguments& arguments);
  base::Result<Value> EvaluateOr(const ExpressionPointer& expression, Value otherwise);

  const Tree& tree_;
  std::optional<Date> today_;
  Heap heap_;
  std::vector<Value> strings_;  // the tree's, once they were used
  std::vector<Value> inputs_;   // by the tree's names
  Ref<Frame> frame_;            // that runs
  TextSink* sink_ = nullptr;    // where output goes
  Value block_text_;            // what a block's filter is applied to
  int depth_ = 0;
  int line_ = 1;
};

}  // namespace cloister::model::jinja
