#include "model/jinja/interpreter_scopes.h"
#include "model/jinja/iterators.h"
#include "model/jinja/registry.h"
#include "model/jinja/text_of.h"

namespace cloister::model::jinja {

Interpreter::Interpreter(const Tree& tree, const Limits& limits, std::optional<Date> today)
    : tree_(tree), today_(today), heap_(limits), strings_(tree.strings.size()) {}

base::Status Interpreter::ReadInputs(const nlohmann::ordered_json& input,
                                     const nlohmann::ordered_json* more) {
  if (!input.is_object()) {
    return Fault("a chat template's input must be an object with messages in it");
  }
  for (const std::string& name : tree_.inputs) {
    const nlohmann::ordered_json* found = nullptr;
    for (const nlohmann::ordered_json* variables : {&input, more}) {
      if (found != nullptr || variables == nullptr || !variables->is_object()) continue;
      const auto at = variables->find(name);
      if (at != variables->end()) found = &*at;
    }
    if (found == nullptr) {
      inputs_.push_back(MakeGlobal(heap_, name));
      continue;
    }
    CLOISTER_ASSIGN_OR_RETURN(Value value, FromJson(heap_, *found));
    inputs_.push_back(std::move(value));
  }
  return {};
}

base::Result<std::string> Interpreter::Run(const nlohmann::ordered_json& input,
                                           const nlohmann::ordered_json* more) {
  CLOISTER_RETURN_IF_ERROR(ReadInputs(input, more));
  TextSink text(heap_);
  sink_ = &text;
  frame_ = Ref<Frame>(new Frame(heap_, static_cast<std::size_t>(tree_.frame_slots), Ref<Frame>()));
  Enter(tree_.loads);
  base::Status status;
  if (base::Result<Flow> flow = Execute(tree_.body); !flow) {
    status = tl::unexpected<base::Error>(std::move(flow).error());
  } else {
    status = heap_.Check();  // of the last step
  }
  if (!status) {
    base::Error error = std::move(status).error();
    if (error.code != base::Code::kInvalidArgument) {
      error.message = "line " + std::to_string(line_) + ": " + error.message;
    }
    return tl::unexpected<base::Error>(std::move(error));
  }
  return text.Take();
}

tl::unexpected<base::Error> Interpreter::TooDeep() const {
  return base::Fail(base::Code::kOutOfRange,
                    "macros, blocks and expressions run inside one another more than " +
                        std::to_string(heap_.limits().evaluation_depth) + " deep");
}

void Interpreter::Enter(const Loads& loads) {
  for (const Load& load : loads) {
    Value& slot = frame_->At(0, load.slot);
    switch (load.kind) {
      case Load::Kind::kNothing:
        break;
      case Load::Kind::kUndefined:
        slot = Value();
        break;
      case Load::Kind::kOuter:
        slot = frame_->At(load.outer.hops, load.outer.slot);
        break;
      case Load::Kind::kInput:
        slot = inputs_[static_cast<std::size_t>(load.input)];
        break;
    }
  }
}

base::Result<Interpreter::Flow> Interpreter::Execute(const Body& body) {
  for (const auto& statement : body) {
    CLOISTER_ASSIGN_OR_RETURN(const Flow flow, Execute(*statement));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

base::Result<Interpreter::Flow> Interpreter::Execute(const Statement& statement) {
  const Depth depth(*this);
  line_ = statement.line;
  heap_.Spend(1);
  CLOISTER_RETURN_IF_ERROR(heap_.Check());
  if (depth_ > heap_.limits().evaluation_depth) return TooDeep();
  switch (statement.kind) {
    case StatementKind::kOutput:
      CLOISTER_RETURN_IF_ERROR(ExecuteOutput(static_cast<const Output&>(statement)));
      return Flow::kNext;
    case StatementKind::kAssign:
      CLOISTER_RETURN_IF_ERROR(ExecuteAssign(static_cast<const Assign&>(statement)));
      return Flow::kNext;
    case StatementKind::kAssignBlock:
      return ExecuteAssignBlock(static_cast<const AssignBlock&>(statement));
    case StatementKind::kFor:
      return ExecuteFor(static_cast<const ForNode&>(statement));
    case StatementKind::kIf:
      return ExecuteIf(static_cast<const If&>(statement));
    case StatementKind::kWith:
      return ExecuteWith(static_cast<const With&>(statement));
    case StatementKind::kMacro:
      CLOISTER_RETURN_IF_ERROR(ExecuteMacro(static_cast<const MacroNode&>(statement)));
      return Flow::kNext;
    case StatementKind::kCallBlock:
      CLOISTER_RETURN_IF_ERROR(ExecuteCallBlock(static_cast<const CallBlock&>(statement)));
      return Flow::kNext;
    case StatementKind::kFilterBlock:
      return ExecuteFilterBlock(static_cast<const FilterBlock&>(statement));
    case StatementKind::kScope:
      Enter(static_cast<const Scope&>(statement).loads);
      return Execute(static_cast<const Scope&>(statement).body);
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

base::Status Interpreter::ExecuteOutput(const Output& output) {
  if (output.expression == nullptr) {
    return sink_->Write(output.text);
  }
  CLOISTER_ASSIGN_OR_RETURN(const Value value, Evaluate(*output.expression));
  if (value.is(Kind::kString)) return sink_->Write(Text(value));
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, TextOf(value));
  return sink_->Write(text);
}

base::Status Interpreter::CheckNamespaces(const Target& target) {
  for (const Target& part : target.parts) CLOISTER_RETURN_IF_ERROR(CheckNamespaces(part));
  if (target.kind != Target::Kind::kNamespace) return {};
  if (frame_->At(target.variable.hops, target.variable.slot).is(Kind::kNamespace)) return {};
  return Fault("cannot assign attribute on non-namespace object '" + target.name + "'");
}

base::Status Interpreter::Assigned(const Target& target, const Value& value) {
  if (target.kind == Target::Kind::kName) {
    frame_->At(target.variable.hops, target.variable.slot) = value;
    return {};
  }
  if (target.kind == Target::Kind::kNamespace) {
    if (target.attribute.starts_with('_')) {
      return Fault("a namespace's attribute cannot start with an underscore: '" + target.attribute +
                   "'");
    }
    const Value space = frame_->At(target.variable.hops, target.variable.slot);
    if (!space.is(Kind::kNamespace)) return CheckNamespaces(target);
    space.as<Namespace>().Set(target.attribute, value);
    return {};
  }
  CLOISTER_ASSIGN_OR_RETURN(const Ref<Iterator> parts, Iterate(*this, value));
  for (const Target& part : target.parts) {
    CLOISTER_ASSIGN_OR_RETURN(const std::optional<Value> item, parts->Next(*this));
    if (!item) {
      return Fault("not enough values to unpack (expected " + std::to_string(target.parts.size()) +
                   ")");
    }
    CLOISTER_RETURN_IF_ERROR(Assigned(part, *item));
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::optional<Value> more, parts->Next(*this));
  if (!more) return {};
  return Fault("too many values to unpack (expected " + std::to_string(target.parts.size()) + ")");
}

base::Status Interpreter::ExecuteAssign(const Assign& assign) {
  CLOISTER_RETURN_IF_ERROR(CheckNamespaces(assign.target));
  CLOISTER_ASSIGN_OR_RETURN(const Value value, Evaluate(*assign.value));
  return Assigned(assign.target, value);
}

base::Result<Value> Interpreter::EvaluateBlockFilter(const ExpressionPointer& filter, Value text) {
  if (filter == nullptr) return text;
  const Value outer = std::exchange(block_text_, std::move(text));
  base::Result<Value> result = Evaluate(*filter);
  block_text_ = outer;
  return result;
}

base::Result<Interpreter::Flow> Interpreter::ExecuteAssignBlock(const AssignBlock& block) {
  CLOISTER_RETURN_IF_ERROR(CheckNamespaces(block.target));
  Enter(block.loads);
  Captured captured(*this);
  CLOISTER_ASSIGN_OR_RETURN(const Flow flow, Execute(block.body));
  if (flow != Flow::kNext) return flow;
  CLOISTER_ASSIGN_OR_RETURN(const Value value, EvaluateBlockFilter(block.filter, captured.Take()));
  CLOISTER_RETURN_IF_ERROR(Assigned(block.target, value));
  return Flow::kNext;
}

base::Result<Interpreter::Flow> Interpreter::ExecuteFilterBlock(const FilterBlock& block) {
  Enter(block.loads);
  Captured captured(*this);
  CLOISTER_ASSIGN_OR_RETURN(const Flow flow, Execute(block.body));
  if (flow != Flow::kNext) return flow;
  CLOISTER_ASSIGN_OR_RETURN(const Value value, EvaluateBlockFilter(block.filter, captured.Take()));
  CLOISTER_RETURN_IF_ERROR(WriteText(value));
  return Flow::kNext;
}

base::Status Interpreter::WriteText(const Value& value) {
  if (!value.is(Kind::kString)) {
    return Fault("a block must give text, not " + std::string(TypeName(value)));
  }
  return sink_->Write(Text(value));
}

base::Result<Interpreter::Flow> Interpreter::ExecuteIf(const If& branches) {
  for (const auto& [test, body] : branches.branches) {
    CLOISTER_ASSIGN_OR_RETURN(const Value value, Evaluate(*test));
    if (Truth(value)) return Execute(body);
  }
  return Execute(branches.otherwise);
}

base::Result<Interpreter::Flow> Interpreter::ExecuteWith(const With& with) {
  Enter(with.loads);
  for (std::size_t i = 0; i < with.targets.size(); ++i) {
    CLOISTER_ASSIGN_OR_RETURN(const Value value, Evaluate(*with.values[i]));
    CLOISTER_RETURN_IF_ERROR(Assigned(with.targets[i], value));
  }
  return Execute(with.body);
}

base::Status Interpreter::ExecuteMacro(const MacroNode& macro) {
  frame_->At(macro.variable.hops, macro.variable.slot) =
      Value(new Macro(heap_, macro, macro.name, frame_));
  return {};
}

base::Status Interpreter::ExecuteCallBlock(const CallBlock& block) {
  const Value caller(new Macro(heap_, *block.macro, "", frame_));
  base::Result<Value> result =
      block.call == nullptr ? Call(caller, {}) : EvaluateCall(*block.call, &caller);
  if (!result) return base::Forward(std::move(result));
  return WriteText(*result);
}

}  // namespace cloister::model::jinja
