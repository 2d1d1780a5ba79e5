#include "model/jinja/parser.h"

#include <algorithm>
#include <array>

#include "model/jinja/expression_parser.h"
#include "model/jinja/lexer.h"

namespace cloister::model::jinja {
namespace {

using base::Code;
using Names = std::initializer_list<std::string_view>;
using StatementPointer = std::unique_ptr<Statement>;

tl::unexpected<base::Error> NotSupported(int line, const std::string& tag) {
  return base::Fail(Code::kUnimplemented,
                    "line " + std::to_string(line) + ": {% " + tag +
                        " %} is not supported in chat templates: write it out in this one");
}

class Parser {
 public:
  Parser(std::vector<Token> tokens, const Limits& limits)
      : tokens_(std::move(tokens)), expressions_(tokens_, limits) {}

  base::Result<Tree> Run() {
    Tree tree;
    CLOISTER_ASSIGN_OR_RETURN(tree.body, ParseBody({}));
    tree.strings = expressions_.TakeStrings();
    return tree;
  }

 private:
  using Parse = base::Result<StatementPointer> (Parser::*)(int line);

  // Text and tags up to a tag that is one of `ends`, whose name is then the current token; to the
  // end of the template where there are none.
  base::Result<Body> ParseBody(Names ends) {
    Body body;
    while (!tokens_.At(TokenKind::kEnd)) {
      const int line = tokens_.line();
      if (tokens_.At(TokenKind::kText)) {
        auto output = std::make_unique<Output>(line);
        output->text = std::move(tokens_.Take().text);
        body.push_back(std::move(output));
        continue;
      }
      if (tokens_.At(TokenKind::kVariableBegin)) {
        tokens_.Take();
        auto output = std::make_unique<Output>(line);
        CLOISTER_ASSIGN_OR_RETURN(output->expression, expressions_.ParseTuple(true));
        CLOISTER_RETURN_IF_ERROR(tokens_.ExpectEnd(TokenKind::kVariableEnd));
        body.push_back(std::move(output));
        continue;
      }
      tokens_.Take();  // {%
      if (AtOneOf(ends)) return body;
      CLOISTER_RETURN_IF_ERROR(ParseStatement(body));
      CLOISTER_RETURN_IF_ERROR(tokens_.ExpectEnd(TokenKind::kBlockEnd));
    }
    if (ends.size() == 0) return body;
    return SyntaxFault(tokens_.line(), "the template ends where {% " + std::string(*ends.begin()) +
                                           " %} is expected");
  }

  bool AtOneOf(Names names) const {
    return std::any_of(names.begin(), names.end(),
                       [this](std::string_view name) { return tokens_.AtName(name); });
  }

  // The body of a statement, from the end of its opening tag.
  base::Result<Body> ParseInner(Names ends) {
    tokens_.SkipOperator(":");
    CLOISTER_RETURN_IF_ERROR(tokens_.ExpectEnd(TokenKind::kBlockEnd));
    return ParseBody(ends);
  }

  // The same where one name alone ends it; that is taken.
  base::Result<Body> ParseWhole(std::string_view end) {
    CLOISTER_ASSIGN_OR_RETURN(Body body, ParseInner({end}));
    tokens_.Take();
    return body;
  }

  base::Status ParseStatement(Body& body) {
    static constexpr std::array<std::pair<std::string_view, Parse>, 12> kTags = {{
        {"set", &Parser::ParseSet},
        {"if", &Parser::ParseIf},
        {"for", &Parser::ParseFor},
        {"macro", &Parser::ParseMacro},
        {"call", &Parser::ParseCallBlock},
        {"filter", &Parser::ParseFilterBlock},
        {"with", &Parser::ParseWith},
        {"generation", &Parser::ParseGeneration},
        {"autoescape", &Parser::ParseAutoescape},
        {"break", &Parser::ParseBreak},
        {"continue", &Parser::ParseContinue},
    }};
    const int line = tokens_.line();
    CLOISTER_ASSIGN_OR_RETURN(const std::string name, tokens_.TakeName());
    if (name == "print") return ParsePrint(line, body);
    for (const auto& [known, parse] : kTags) {
      if (known != name) continue;
      CLOISTER_RETURN_IF_ERROR(expressions_.Enter());
      CLOISTER_ASSIGN_OR_RETURN(StatementPointer statement, (this->*parse)(line));
      expressions_.Leave();
      body.push_back(std::move(statement));
      return {};
    }
    for (const std::string_view other : {"include", "extends", "import", "from", "block"}) {
      if (name == other) return NotSupported(line, name);
    }
    return SyntaxFault(line, "unknown tag '" + name + "'");
  }

  base::Status ParsePrint(int line, Body& body) {
    bool first = true;
    while (!tokens_.At(TokenKind::kBlockEnd)) {
      if (!std::exchange(first, false)) CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      auto output = std::make_unique<Output>(line);
      CLOISTER_ASSIGN_OR_RETURN(output->expression, expressions_.ParseExpression());
      body.push_back(std::move(output));
    }
    return {};
  }

  base::Result<StatementPointer> ParseSet(int line) {
    CLOISTER_ASSIGN_OR_RETURN(Target target, expressions_.ParseTarget(true));
    if (tokens_.SkipOperator("=")) {
      auto made = std::make_unique<Assign>(line);
      made->target = std::move(target);
      CLOISTER_ASSIGN_OR_RETURN(made->value, expressions_.ParseTuple(true));
      return made;
    }
    auto made = std::make_unique<AssignBlock>(line);
    made->target = std::move(target);
    CLOISTER_ASSIGN_OR_RETURN(made->filter, expressions_.ParseFilters(nullptr, false));
    CLOISTER_ASSIGN_OR_RETURN(made->body, ParseWhole("endset"));
    return made;
  }

  base::Result<StatementPointer> ParseIf(int line) {
    auto made = std::make_unique<If>(line);
    while (true) {
      CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer test, expressions_.ParseTuple(false));
      CLOISTER_ASSIGN_OR_RETURN(Body body, ParseInner({"endif", "elif", "else"}));
      made->branches.emplace_back(std::move(test), std::move(body));
      if (tokens_.SkipName("elif")) continue;
      if (tokens_.Take().text == "else") {
        CLOISTER_ASSIGN_OR_RETURN(made->otherwise, ParseWhole("endif"));
      }
      return made;
    }
  }

  base::Result<StatementPointer> ParseFor(int line) {
    auto made = std::make_unique<ForNode>(line);
    CLOISTER_ASSIGN_OR_RETURN(made->target, expressions_.ParseTarget(false, "in"));
    CLOISTER_RETURN_IF_ERROR(tokens_.ExpectName("in"));
    CLOISTER_ASSIGN_OR_RETURN(made->items, expressions_.ParseTuple(false, "recursive"));
    if (tokens_.SkipName("if")) {
      CLOISTER_ASSIGN_OR_RETURN(made->test, expressions_.ParseExpression());
    }
    made->recursive = tokens_.SkipName("recursive");
    ++loops_;
    CLOISTER_ASSIGN_OR_RETURN(made->body, ParseInner({"endfor", "else"}));
    --loops_;
    if (tokens_.Take().text == "else") {
      CLOISTER_ASSIGN_OR_RETURN(made->otherwise, ParseWhole("endfor"));
    }
    return made;
  }

  // break and continue reach no further than the macro that they stand in.
  base::Result<Body> ParseApart(std::string_view end) {
    const int outer = std::exchange(loops_, 0);
    CLOISTER_ASSIGN_OR_RETURN(Body body, ParseWhole(end));
    loops_ = outer;
    return body;
  }

  base::Status ParseParameters(MacroNode& macro) {
    CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
    bool optional = false;
    while (!tokens_.AtOperator(")")) {
      if (!macro.parameters.empty()) CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      MacroNode::Parameter parameter;
      CLOISTER_ASSIGN_OR_RETURN(parameter.name, ParseAssignedName());
      for (const MacroNode::Parameter& known : macro.parameters) {
        if (known.name == parameter.name) {
          return SyntaxFault(tokens_.line(), "parameter '" + parameter.name + "' is repeated");
        }
      }
      if (tokens_.SkipOperator("=")) {
        CLOISTER_ASSIGN_OR_RETURN(parameter.otherwise, expressions_.ParseExpression());
        optional = true;
      } else if (optional) {
        return SyntaxFault(tokens_.line(), "a parameter without a default follows one with");
      }
      macro.parameters.push_back(std::move(parameter));
    }
    tokens_.Take();
    return {};
  }

  base::Result<std::string> ParseAssignedName() {
    const int line = tokens_.line();
    CLOISTER_ASSIGN_OR_RETURN(std::string name, tokens_.TakeName());
    for (const std::string_view reserved : {"true", "false", "none", "True", "False", "None"}) {
      if (name == reserved) return SyntaxFault(line, "can't assign to '" + name + "'");
    }
    return name;
  }

  base::Result<StatementPointer> ParseMacro(int line) {
    auto made = std::make_unique<MacroNode>(StatementKind::kMacro, line);
    CLOISTER_ASSIGN_OR_RETURN(made->name, ParseAssignedName());
    CLOISTER_RETURN_IF_ERROR(ParseParameters(*made));
    CLOISTER_ASSIGN_OR_RETURN(made->body, ParseApart("endmacro"));
    return made;
  }

  base::Result<StatementPointer> ParseCallBlock(int line) {
    auto made = std::make_unique<CallBlock>(line);
    made->macro = std::make_unique<MacroNode>(StatementKind::kMacro, line);
    if (tokens_.AtOperator("(")) CLOISTER_RETURN_IF_ERROR(ParseParameters(*made->macro));
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer call, expressions_.ParseExpression());
    if (call->kind != ExpressionKind::kCall) return SyntaxFault(line, "expected a call");
    made->call.reset(static_cast<Call*>(call.release()));
    CLOISTER_ASSIGN_OR_RETURN(made->macro->body, ParseApart("endcall"));
    return made;
  }

  base::Result<StatementPointer> ParseGeneration(int line) {
    auto made = std::make_unique<CallBlock>(line);
    made->macro = std::make_unique<MacroNode>(StatementKind::kMacro, line);
    CLOISTER_ASSIGN_OR_RETURN(made->macro->body, ParseApart("endgeneration"));
    return made;
  }

  base::Result<StatementPointer> ParseFilterBlock(int line) {
    auto made = std::make_unique<FilterBlock>(line);
    CLOISTER_ASSIGN_OR_RETURN(made->filter, expressions_.ParseFilters(nullptr, true));
    CLOISTER_ASSIGN_OR_RETURN(made->body, ParseWhole("endfilter"));
    return made;
  }

  base::Result<StatementPointer> ParseWith(int line) {
    auto made = std::make_unique<With>(line);
    while (!tokens_.At(TokenKind::kBlockEnd)) {
      if (!made->targets.empty()) CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      CLOISTER_ASSIGN_OR_RETURN(Target target, expressions_.ParseTarget(false));
      CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator("="));
      CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer value, expressions_.ParseExpression());
      made->targets.push_back(std::move(target));
      made->values.push_back(std::move(value));
    }
    CLOISTER_ASSIGN_OR_RETURN(made->body, ParseWhole("endwith"));
    return made;
  }

  base::Result<StatementPointer> ParseAutoescape(int line) {
    CLOISTER_ASSIGN_OR_RETURN(const ExpressionPointer value, expressions_.ParseExpression());
    const bool constant = value->kind == ExpressionKind::kConstant;
    const auto* off =
        constant ? std::get_if<bool>(&static_cast<const Constant&>(*value).content) : nullptr;
    if (off == nullptr || *off) return NotSupported(line, "autoescape");
    auto made = std::make_unique<Scope>(line);
    CLOISTER_ASSIGN_OR_RETURN(made->body, ParseWhole("endautoescape"));
    return made;
  }

  base::Result<StatementPointer> ParseControl(StatementKind kind, int line, const char* name) {
    if (loops_ == 0) return SyntaxFault(line, std::string("'") + name + "' outside of a loop");
    return std::make_unique<LoopControl>(kind, line);
  }
  base::Result<StatementPointer> ParseBreak(int line) {
    return ParseControl(StatementKind::kBreak, line, "break");
  }
  base::Result<StatementPointer> ParseContinue(int line) {
    return ParseControl(StatementKind::kContinue, line, "continue");
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int loops_ = 0;  // around what is being read
};

}  // namespace

base::Result<Tree> Parse(std::string_view source, const Limits& limits) {
  if (source.size() > limits.source_bytes) {
    return base::Fail(Code::kOutOfRange, "the template is longer than " +
                                             std::to_string(limits.source_bytes) + " bytes");
  }
  CLOISTER_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return Parser(std::move(tokens), limits).Run();
}

}  // namespace cloister::model::jinja
