#include "model/jinja/resolver.h"

#include <algorithm>

#include "model/jinja/lexer.h"
#include "model/jinja/names.h"
#include "model/jinja/symbols.h"

namespace cloister::model::jinja {
namespace {

// Jinja's name for the place where it stops: what is only reached through an `if` may name filters
// that there are not.
enum class Reach { kAlways, kUnderCondition };

class Resolver {
 public:
  base::Status Run(Tree& tree) {
    FrameLayout frame;
    Symbols symbols(frame, nullptr);
    Collect(tree.body, symbols);
    tree.loads = symbols.MakeLoads(inputs_);
    CLOISTER_RETURN_IF_ERROR(BindBody(tree.body, symbols, Reach::kAlways));
    tree.frame_slots = frame.slots;
    tree.inputs = inputs_.Take();
    return {};
  }

 private:
  // --- What the statements of one scope, without those inside it, read and store.

  static void CollectReads(Expression& expression, Symbols& symbols) {
    if (expression.kind == ExpressionKind::kName) {
      symbols.Read(static_cast<Name&>(expression).name);
    }
    ForEachChild(expression, [&](Expression& child) { CollectReads(child, symbols); });
  }

  static void CollectReads(const ExpressionPointer& expression, Symbols& symbols) {
    if (expression != nullptr) CollectReads(*expression, symbols);
  }

  static void CollectTarget(const Target& target, Symbols& symbols) {
    if (target.kind == Target::Kind::kName) symbols.Store(target.name);
    if (target.kind == Target::Kind::kNamespace) symbols.Read(target.name);
    for (const Target& part : target.parts) CollectTarget(part, symbols);
  }

  static void DeclareTarget(const Target& target, Symbols& symbols) {
    if (target.kind == Target::Kind::kName) symbols.Declare(target.name);
    for (const Target& part : target.parts) DeclareTarget(part, symbols);
  }

  static void Collect(const Body& body, Symbols& symbols) {
    for (const auto& statement : body) Collect(*statement, symbols);
  }

  static void CollectIf(const If& branches, Symbols& symbols) {
    // The first test always runs; the others count as parts of their branches.
    CollectReads(branches.branches[0].first, symbols);
    const std::size_t begun = symbols.BeginBranches();
    for (const auto& [test, body] : branches.branches) {
      CollectReads(test, symbols);
      Collect(body, symbols);
    }
    Collect(branches.otherwise, symbols);
    symbols.EndBranches(begun);
  }

  static void Collect(const Statement& statement, Symbols& symbols) {
    switch (statement.kind) {
      case StatementKind::kOutput:
        return CollectReads(static_cast<const Output&>(statement).expression, symbols);
      case StatementKind::kAssign:
        CollectReads(static_cast<const Assign&>(statement).value, symbols);
        return CollectTarget(static_cast<const Assign&>(statement).target, symbols);
      case StatementKind::kAssignBlock:
        return CollectTarget(static_cast<const AssignBlock&>(statement).target, symbols);
      case StatementKind::kFor:
        return CollectReads(static_cast<const ForNode&>(statement).items, symbols);
      case StatementKind::kIf:
        return CollectIf(static_cast<const If&>(statement), symbols);
      case StatementKind::kWith:
        for (const auto& value : static_cast<const With&>(statement).values) {
          CollectReads(value, symbols);
        }
        return;
      case StatementKind::kMacro:
        return symbols.Store(static_cast<const MacroNode&>(statement).name);
      case StatementKind::kCallBlock: {
        const auto& block = static_cast<const CallBlock&>(statement);
        if (block.call != nullptr) CollectReads(*block.call, symbols);
        return;
      }
      case StatementKind::kFilterBlock:
        return CollectReads(static_cast<const FilterBlock&>(statement).filter, symbols);
      case StatementKind::kScope:
      case StatementKind::kBreak:
      case StatementKind::kContinue:
        return;
    }
  }

  // --- Variables for the names, scope by scope.

  base::Status Bind(Expression& expression, const Symbols& symbols, Reach reach) {
    const bool always = reach == Reach::kAlways;
    if (expression.kind == ExpressionKind::kName) {
      auto& name = static_cast<Name&>(expression);
      symbols.Find(name.name, symbols.frame(), name.variable);
    } else if (expression.kind == ExpressionKind::kFilter && always) {
      const auto& filter = static_cast<Filter&>(expression);
      if (filter.operation == nullptr) {
        return SyntaxFault(filter.line, "there is no filter named '" + filter.name + "'");
      }
    } else if (expression.kind == ExpressionKind::kTest && always) {
      const auto& test = static_cast<Test&>(expression);
      if (test.operation == nullptr) {
        return SyntaxFault(test.line, "there is no test named '" + test.name + "'");
      }
    } else if (expression.kind == ExpressionKind::kConditional) {
      reach = Reach::kUnderCondition;
    }
    base::Status status;
    ForEachChild(expression, [&](Expression& child) {
      if (status) status = Bind(child, symbols, reach);
    });
    return status;
  }

  base::Status Bind(const ExpressionPointer& expression, const Symbols& symbols, Reach reach) {
    return expression == nullptr ? base::Status() : Bind(*expression, symbols, reach);
  }

  static void BindTarget(Target& target, const Symbols& symbols) {
    if (target.kind != Target::Kind::kTuple) {
      symbols.Find(target.name, symbols.frame(), target.variable);
    }
    for (Target& part : target.parts) BindTarget(part, symbols);
  }

  base::Status BindBody(const Body& body, const Symbols& symbols, Reach reach) {
    for (const auto& statement : body) {
      CLOISTER_RETURN_IF_ERROR(BindStatement(*statement, symbols, reach));
    }
    return {};
  }

  base::Status BindStatement(Statement& statement, const Symbols& symbols, Reach reach) {
    switch (statement.kind) {
      case StatementKind::kOutput:
        return Bind(static_cast<Output&>(statement).expression, symbols, reach);
      case StatementKind::kAssign: {
        auto& assign = static_cast<Assign&>(statement);
        BindTarget(assign.target, symbols);
        return Bind(assign.value, symbols, reach);
      }
      case StatementKind::kAssignBlock:
        return BindAssignBlock(static_cast<AssignBlock&>(statement), symbols);
      case StatementKind::kFor:
        return BindFor(static_cast<ForNode&>(statement), symbols, reach);
      case StatementKind::kIf:
        return BindIf(static_cast<If&>(statement), symbols);
      case StatementKind::kWith:
        return BindWith(static_cast<With&>(statement), symbols, reach);
      case StatementKind::kMacro: {
        auto& macro = static_cast<MacroNode&>(statement);
        symbols.Find(macro.name, symbols.frame(), macro.variable);
        return BindMacro(macro, symbols);
      }
      case StatementKind::kCallBlock: {
        auto& block = static_cast<CallBlock&>(statement);
        CLOISTER_RETURN_IF_ERROR(BindMacro(*block.macro, symbols));
        return block.call == nullptr ? base::Status() : Bind(*block.call, symbols, reach);
      }
      case StatementKind::kFilterBlock:
        return BindFilterBlock(static_cast<FilterBlock&>(statement), symbols);
      case StatementKind::kScope: {
        auto& scope = static_cast<Scope&>(statement);
        Symbols inner(symbols.frame(), &symbols);
        Collect(scope.body, inner);
        scope.loads = inner.MakeLoads(inputs_);
        return BindBody(scope.body, inner, Reach::kAlways);
      }
      case StatementKind::kBreak:
      case StatementKind::kContinue:
        return {};
    }
    return {};
  }

  base::Status BindIf(If& branches, const Symbols& symbols) {
    for (const auto& [test, body] : branches.branches) {
      CLOISTER_RETURN_IF_ERROR(Bind(test, symbols, Reach::kUnderCondition));
      CLOISTER_RETURN_IF_ERROR(BindBody(body, symbols, Reach::kUnderCondition));
    }
    return BindBody(branches.otherwise, symbols, Reach::kUnderCondition);
  }

  base::Status BindAssignBlock(AssignBlock& block, const Symbols& symbols) {
    BindTarget(block.target, symbols);
    Symbols inner(symbols.frame(), &symbols);
    Collect(block.body, inner);
    CollectReads(block.filter, inner);
    block.loads = inner.MakeLoads(inputs_);
    CLOISTER_RETURN_IF_ERROR(BindBody(block.body, inner, Reach::kAlways));
    return Bind(block.filter, inner, Reach::kAlways);
  }

  base::Status BindFilterBlock(FilterBlock& block, const Symbols& symbols) {
    Symbols inner(symbols.frame(), &symbols);
    Collect(block.body, inner);
    CollectReads(block.filter, inner);
    block.loads = inner.MakeLoads(inputs_);
    CLOISTER_RETURN_IF_ERROR(BindBody(block.body, inner, Reach::kAlways));
    return Bind(block.filter, inner, Reach::kAlways);
  }

  base::Status BindWith(With& with, const Symbols& symbols, Reach reach) {
    Symbols inner(symbols.frame(), &symbols);
    for (const Target& target : with.targets) DeclareTarget(target, inner);
    Collect(with.body, inner);
    with.loads = inner.MakeLoads(inputs_);
    for (Target& target : with.targets) BindTarget(target, inner);
    for (const auto& value : with.values) {
      CLOISTER_RETURN_IF_ERROR(Bind(value, symbols, reach));
    }
    return BindBody(with.body, inner, Reach::kAlways);
  }

  // Parameters and defaults are the macro's own variables, so that one default may use another.
  base::Status BindMacro(MacroNode& macro, const Symbols& symbols) {
    FrameLayout frame{symbols.frame().depth + 1, 0};
    Symbols inner(frame, &symbols);
    for (auto& parameter : macro.parameters) {
      parameter.slot = inner.Declare(parameter.name);
      if (parameter.name == "caller" && parameter.otherwise == nullptr &&
          ReadsFromOutside(macro.body, "caller")) {
        return SyntaxFault(macro.line, "the parameter 'caller' needs a default");
      }
    }
    const auto special = [&](const char* name, int& slot) {
      const bool parameter = std::any_of(macro.parameters.begin(), macro.parameters.end(),
                                         [&](const auto& known) { return known.name == name; });
      if (!parameter && ReadsFromOutside(macro.body, name)) slot = inner.Declare(name);
    };
    special("caller", macro.caller_slot);
    special("kwargs", macro.kwargs_slot);
    special("varargs", macro.varargs_slot);
    for (const auto& parameter : macro.parameters) CollectReads(parameter.otherwise, inner);
    Collect(macro.body, inner);
    macro.loads = inner.MakeLoads(inputs_);
    for (const auto& parameter : macro.parameters) {
      CLOISTER_RETURN_IF_ERROR(Bind(parameter.otherwise, inner, Reach::kAlways));
    }
    CLOISTER_RETURN_IF_ERROR(BindBody(macro.body, inner, Reach::kAlways));
    macro.frame_slots = frame.slots;
    return {};
  }

  static bool StoresLoop(const ForNode& loop) {
    bool found = false;
    const NameVisitor visit = [&](const std::string& name, bool stored) {
      found = found || (stored && name == "loop");
    };
    VisitNames(loop.target, visit);
    VisitNames(loop.body, visit);
    VisitNames(loop.otherwise, visit);
    return found;
  }

  base::Status BindFor(ForNode& loop, const Symbols& symbols, Reach reach) {
    if (StoresLoop(loop)) {
      return SyntaxFault(loop.line, "can't assign to the special variable 'loop' in a for loop");
    }
    CLOISTER_RETURN_IF_ERROR(Bind(loop.items, symbols, reach));
    FrameLayout own{symbols.frame().depth + 1, 0};
    FrameLayout& frame = loop.recursive ? own : symbols.frame();

    Symbols inner(frame, &symbols);
    if (loop.recursive || ReadsFromOutside(loop.body, "loop")) {
      loop.loop_slot = inner.Declare("loop");
    }
    loop.test_target = loop.target;
    DeclareTarget(loop.target, inner);
    Collect(loop.body, inner);
    loop.loads = inner.MakeLoads(inputs_);
    BindTarget(loop.target, inner);

    Symbols otherwise(frame, &symbols);
    Collect(loop.otherwise, otherwise);
    loop.otherwise_loads = otherwise.MakeLoads(inputs_);

    Symbols test(frame, &symbols);
    DeclareTarget(loop.test_target, test);
    CollectReads(loop.test, test);
    loop.test_loads = test.MakeLoads(inputs_);
    BindTarget(loop.test_target, test);
    CLOISTER_RETURN_IF_ERROR(Bind(loop.test, test, Reach::kAlways));

    CLOISTER_RETURN_IF_ERROR(BindBody(loop.body, inner, Reach::kAlways));
    CLOISTER_RETURN_IF_ERROR(BindBody(loop.otherwise, otherwise, Reach::kAlways));
    if (loop.recursive) loop.frame_slots = own.slots;
    return {};
  }

  InputNames inputs_;
};

}  // namespace

base::Status Resolve(Tree& tree) { return Resolver().Run(tree); }

}  // namespace cloister::model::jinja
