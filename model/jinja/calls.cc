#include "model/jinja/interpreter_scopes.h"
#include "model/jinja/iterators.h"

namespace cloister::model::jinja {
namespace {

// The items that a loop's own test lets pass.
class FilteredItems final : public Iterator {
 public:
  FilteredItems(Interpreter& interpreter, const ForNode& loop, Ref<Iterator> items,
                Ref<Frame> frame)
      : Iterator(interpreter.heap(), items->depth() + 1),
        interpreter_(interpreter),
        loop_(loop),
        items_(std::move(items)),
        frame_(std::move(frame)) {
    frame_->Capture();  // the loop may be kept in one of its variables
  }

  base::Result<std::optional<Value>> Next(Runtime& runtime) override {
    while (true) {
      CLOISTER_ASSIGN_OR_RETURN(std::optional<Value> item, items_->Next(runtime));
      if (!item) return item;
      CLOISTER_ASSIGN_OR_RETURN(const bool passes, interpreter_.Passes(loop_, frame_, *item));
      if (passes) return item;
    }
  }

 private:
  Interpreter& interpreter_;
  const ForNode& loop_;
  Ref<Iterator> items_;
  Ref<Frame> frame_;
};

std::optional<Value> TakeNamed(Arguments& arguments, std::string_view name) {
  for (auto at = arguments.named.begin(); at != arguments.named.end(); ++at) {
    if (at->first != name) continue;
    Value value = std::move(at->second);
    arguments.named.erase(at);
    return value;
  }
  return {};
}

}  // namespace

base::Result<bool> Interpreter::Passes(const ForNode& loop, const Ref<Frame>& frame,
                                       const Value& item) {
  const InFrame in_frame(*this, frame);
  const Depth depth(*this);
  heap_.Spend(1);
  CLOISTER_RETURN_IF_ERROR(heap_.Check());
  CLOISTER_RETURN_IF_ERROR(Assigned(loop.test_target, item));
  Enter(loop.test_loads);
  CLOISTER_ASSIGN_OR_RETURN(const Value passes, Evaluate(*loop.test));
  return Truth(passes);
}

base::Result<Interpreter::Flow> Interpreter::ExecuteFor(const ForNode& loop) {
  CLOISTER_ASSIGN_OR_RETURN(const Value source, Evaluate(*loop.items));
  if (!loop.recursive) return RunLoop(loop, source, Ref<Frame>(), 0);
  CLOISTER_ASSIGN_OR_RETURN(const Value text, RunRecursively(loop, source, frame_, 0));
  CLOISTER_RETURN_IF_ERROR(WriteText(text));
  return Flow::kNext;
}

base::Result<Value> Interpreter::RunRecursively(const ForNode& node, const Value& source,
                                                const Ref<Frame>& around, int depth0) {
  const InFrame in_frame(
      *this, Ref<Frame>(new Frame(heap_, static_cast<std::size_t>(node.frame_slots), around)));
  Captured captured(*this);
  CLOISTER_RETURN_IF_ERROR(RunLoop(node, source, around, depth0));
  return captured.Take();
}

base::Result<Interpreter::Flow> Interpreter::RunLoop(const ForNode& node, const Value& source,
                                                     const Ref<Frame>& around, int depth0) {
  CLOISTER_ASSIGN_OR_RETURN(Ref<Iterator> items, Iterate(*this, source));
  if (node.test != nullptr) {
    items = Ref<Iterator>(new FilteredItems(*this, node, std::move(items), frame_));
  }
  Ref<Loop> loop;
  if (node.loop_slot >= 0) {
    loop = Ref<Loop>(
        new Loop(*this, node, items, node.test == nullptr ? source : Value(), around, depth0));
  }
  bool finished = false;  // one pass, at least, to its end
  while (true) {
    line_ = node.line;
    base::Result<std::optional<Value>> item = loop ? loop->Next(*this) : items->Next(*this);
    if (!item) return base::Forward(std::move(item));
    if (!*item) break;
    heap_.Spend(1);
    CLOISTER_RETURN_IF_ERROR(heap_.Check());
    if (loop) frame_->At(0, node.loop_slot) = Value(loop);
    CLOISTER_RETURN_IF_ERROR(Assigned(node.target, **item));
    Enter(node.loads);
    CLOISTER_ASSIGN_OR_RETURN(const Flow flow, Execute(node.body));
    if (flow == Flow::kBreak) break;
    finished = finished || flow == Flow::kNext;
  }
  if (loop) frame_->At(0, node.loop_slot) = Value();
  if (finished || node.otherwise.empty()) return Flow::kNext;
  Enter(node.otherwise_loads);
  return Execute(node.otherwise);
}

base::Result<Value> Interpreter::Call(const Value& callee, Arguments arguments) {
  switch (callee.kind()) {
    case Kind::kMacro:
      return CallMacro(callee.as<Macro>(), std::move(arguments));
    case Kind::kMethod:
      return callee.as<Method>().operation()(*this, callee.as<Method>().self(), arguments);
    case Kind::kFunction:
      return callee.as<Function>().operation()(*this, callee, arguments);
    case Kind::kJoiner:
      return callee.as<Joiner>().Call();
    case Kind::kLoop: {
      const auto& loop = callee.as<Loop>();
      if (!loop.node().recursive)
        return Fault("only a loop that is marked recursive can be called");
      CLOISTER_ASSIGN_OR_RETURN(const auto bound, Bind("loop", {"iterable"}, 1, arguments));
      return RunRecursively(loop.node(), bound[0], loop.around(), loop.depth0() + 1);
    }
    case Kind::kUndefined:
      return UndefinedFault(callee);
    default:
      return Fault("'" + std::string(TypeName(callee)) + "' object is not callable");
  }
}

base::Status Interpreter::BindParameters(const MacroNode& node, Arguments& arguments,
                                         Frame& frame) {
  const std::size_t given = arguments.positional.size();
  heap_.Spend(given + (1 + arguments.named.size()) * (1 + node.parameters.size()) / 8);
  CLOISTER_RETURN_IF_ERROR(heap_.Check());
  for (std::size_t i = 0; i < node.parameters.size(); ++i) {
    Value& slot = frame.At(0, node.parameters[i].slot);
    if (i < given) {
      slot = arguments.positional[i];
    } else if (auto value = TakeNamed(arguments, node.parameters[i].name)) {
      slot = *std::move(value);
    }
  }
  return BindSpecials(node, arguments, frame);
}

// caller, kwargs and varargs, and complaints about arguments that none of them takes.
base::Status Interpreter::BindSpecials(const MacroNode& node, Arguments& arguments, Frame& frame) {
  const std::string name = node.name.empty() ? "a call block" : "macro '" + node.name + "'";
  if (node.caller_slot >= 0) {
    const std::optional<Value> caller = TakeNamed(arguments, "caller");
    const bool none = !caller || caller->is(Kind::kNone);
    frame.At(0, node.caller_slot) = none ? MakeUndefined(heap_, "no caller defined") : *caller;
  }
  if (node.kwargs_slot >= 0) {
    std::vector<Dict::Entry> entries;
    for (auto& [key, value] : arguments.named) {
      entries.emplace_back(MakeString(heap_, key), std::move(value));
    }
    frame.At(0, node.kwargs_slot) = Value(new Dict(heap_, std::move(entries)));
  } else if (!arguments.named.empty()) {
    return Fault(name + " takes no keyword argument '" + arguments.named[0].first + "'");
  }
  const std::size_t count = node.parameters.size();
  if (node.varargs_slot >= 0) {
    std::vector<Value> rest;
    for (std::size_t i = count; i < arguments.positional.size(); ++i) {
      rest.push_back(arguments.positional[i]);
    }
    frame.At(0, node.varargs_slot) = MakeTuple(heap_, std::move(rest));
  } else if (arguments.positional.size() > count) {
    return Fault(name + " takes not more than " + std::to_string(count) + " arguments");
  }
  return {};
}

base::Result<Value> Interpreter::CallMacro(const Macro& macro, Arguments arguments) {
  const MacroNode& node = macro.node();
  const Depth depth(*this);
  if (depth_ > heap_.limits().evaluation_depth) return TooDeep();
  const Ref<Frame> frame(
      new Frame(heap_, static_cast<std::size_t>(node.frame_slots), macro.around()));
  CLOISTER_RETURN_IF_ERROR(BindParameters(node, arguments, *frame));
  return RunMacro(node, frame);
  // A false alarm, without leaks under AddressSanitizer: the analyzer does not follow the count
  // that `frame` gives back here.
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks)

base::Result<Value> Interpreter::RunMacro(const MacroNode& node, const Ref<Frame>& frame) {
  const InFrame in_frame(*this, frame);
  Captured captured(*this);
  Enter(node.loads);
  for (const MacroNode::Parameter& parameter : node.parameters) {
    if (!frame->At(0, parameter.slot).missing()) continue;
    Value value;
    if (parameter.otherwise == nullptr) {
      value = MakeUndefined(heap_, "parameter '" + parameter.name + "' was not provided");
    } else {
      CLOISTER_ASSIGN_OR_RETURN(value, Evaluate(*parameter.otherwise));
    }
    frame->At(0, parameter.slot) = std::move(value);
  }
  CLOISTER_RETURN_IF_ERROR(Execute(node.body));
  return captured.Take();
}

}  // namespace cloister::model::jinja
