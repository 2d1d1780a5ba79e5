// Operands: names, constants, displays, and what follows a value.
#include "model/jinja/expression_height.h"
#include "model/jinja/expression_parser.h"
#include "model/jinja/lexer.h"
#include "model/jinja/registry.h"

namespace cloister::model::jinja {

ExpressionPointer ExpressionParser::MakeText(int line, std::string text) {
  auto made = std::make_unique<Constant>(line, std::monostate());
  made->index = static_cast<int>(strings_.size());
  strings_.push_back(std::move(text));
  return made;
}

ExpressionParser::Result ExpressionParser::ParseUnary(bool with_filters) {
  CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer value, ParseOperand());
  CLOISTER_ASSIGN_OR_RETURN(value, ParsePostfix(std::move(value)));
  return with_filters ? ParseFiltersAndTests(std::move(value)) : Result(std::move(value));
}

// A primary, or one with signs before it: what follows a value binds closer than they do.
ExpressionParser::Result ExpressionParser::ParseOperand() {
  const bool minus = tokens_.AtOperator("-");
  if (!minus && !tokens_.AtOperator("+")) return ParsePrimary();
  CLOISTER_RETURN_IF_ERROR(Enter());
  auto made = std::make_unique<Unary>(minus ? ExpressionKind::kNegative : ExpressionKind::kPositive,
                                      tokens_.Take().line);
  if (minus && tokens_.At(TokenKind::kInteger) && tokens_.current().only_negative) {
    Leave();
    return std::make_unique<Constant>(made->line, tokens_.Take().integer);
  }
  CLOISTER_ASSIGN_OR_RETURN(made->operand, ParseUnary(false));
  Leave();
  const int inside = HeightOf(made->operand);
  return Finish(std::move(made), inside);
}

ExpressionParser::Result ExpressionParser::ParseNameOrConstant() {
  Token& token = tokens_.Take();
  if (!IsConstantName(token.text)) return std::make_unique<Name>(token.line, std::move(token.text));
  Constant::Content content;
  if (token.text == "true" || token.text == "True") content = true;
  if (token.text == "false" || token.text == "False") content = false;
  return std::make_unique<Constant>(token.line, std::move(content));
}

ExpressionParser::Result ExpressionParser::ParsePrimary() {
  const int line = tokens_.line();
  switch (tokens_.current().kind) {
    case TokenKind::kName:
      return ParseNameOrConstant();
    case TokenKind::kString: {
      std::string text = std::move(tokens_.Take().text);
      while (tokens_.At(TokenKind::kString)) text += tokens_.Take().text;
      return MakeText(line, std::move(text));
    }
    case TokenKind::kInteger:
      if (tokens_.current().only_negative) {
        return SyntaxFault(line, "an integer does not fit 64 bits");
      }
      return std::make_unique<Constant>(line, tokens_.Take().integer);
    case TokenKind::kFloat:
      return std::make_unique<Constant>(line, tokens_.Take().real);
    default:
      break;
  }
  if (tokens_.SkipOperator("(")) {
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer value, ParseTuple(true, {}, true));
    CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
    return value;
  }
  if (tokens_.AtOperator("[")) return ParseListDisplay();
  if (tokens_.AtOperator("{")) return ParseDictDisplay();
  return tokens_.Unexpected("an expression");
}

ExpressionParser::Result ExpressionParser::ParseListDisplay() {
  auto list = std::make_unique<Sequence>(ExpressionKind::kList, tokens_.Take().line);
  while (!tokens_.AtOperator("]")) {
    if (!list->items.empty()) CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (tokens_.AtOperator("]")) break;
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer item, ParseCondition());
    list->items.push_back(std::move(item));
  }
  tokens_.Take();
  const int inside = HeightOf(list->items);
  return Finish(std::move(list), inside);
}

ExpressionParser::Result ExpressionParser::ParseDictDisplay() {
  auto dict = std::make_unique<DictDisplay>(tokens_.Take().line);
  while (!tokens_.AtOperator("}")) {
    if (!dict->keys.empty()) CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (tokens_.AtOperator("}")) break;
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer key, ParseCondition());
    CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(":"));
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer value, ParseCondition());
    dict->keys.push_back(std::move(key));
    dict->values.push_back(std::move(value));
  }
  tokens_.Take();
  const int inside = std::max(HeightOf(dict->keys), HeightOf(dict->values));
  return Finish(std::move(dict), inside);
}

ExpressionParser::Result ExpressionParser::ParsePostfix(ExpressionPointer value) {
  while (true) {
    if (tokens_.AtOperator(".")) {
      CLOISTER_ASSIGN_OR_RETURN(value, ParseAttribute(std::move(value)));
    } else if (tokens_.AtOperator("[")) {
      CLOISTER_ASSIGN_OR_RETURN(value, ParseItem(std::move(value)));
    } else if (tokens_.AtOperator("(")) {
      CLOISTER_ASSIGN_OR_RETURN(value, ParseCall(std::move(value)));
    } else {
      return value;
    }
  }
}

ExpressionParser::Result ExpressionParser::ParseFiltersAndTests(ExpressionPointer value) {
  while (true) {
    if (tokens_.AtOperator("|")) {
      CLOISTER_ASSIGN_OR_RETURN(value, ParseFilters(std::move(value), false));
    } else if (tokens_.AtName("is")) {
      CLOISTER_ASSIGN_OR_RETURN(value, ParseTest(std::move(value)));
    } else if (tokens_.AtOperator("(")) {
      CLOISTER_ASSIGN_OR_RETURN(value, ParseCall(std::move(value)));
    } else {
      return value;
    }
  }
}

ExpressionParser::Result ExpressionParser::ParseAttribute(ExpressionPointer object) {
  const int line = tokens_.Take().line;
  const int inside = HeightOf(object);
  if (tokens_.At(TokenKind::kName)) {
    auto made = std::make_unique<Attribute>(line);
    made->object = std::move(object);
    made->name = std::move(tokens_.Take().text);
    return Finish(std::move(made), inside);
  }
  if (!tokens_.At(TokenKind::kInteger)) return tokens_.Unexpected("a name or number");
  auto made = std::make_unique<Item>(line);
  made->object = std::move(object);
  made->key = std::make_unique<Constant>(line, tokens_.Take().integer);
  return Finish(std::move(made), inside);
}

ExpressionParser::Result ExpressionParser::ParseItem(ExpressionPointer object) {
  const int line = tokens_.Take().line;
  if (tokens_.AtOperator(":")) return ParseSlice(std::move(object), nullptr, line);
  auto keys = std::make_unique<Sequence>(ExpressionKind::kTuple, line);
  while (!tokens_.AtOperator("]")) {
    if (!keys->items.empty()) CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer key, ParseCondition());
    if (keys->items.empty() && tokens_.AtOperator(":")) {
      return ParseSlice(std::move(object), std::move(key), line);
    }
    keys->items.push_back(std::move(key));
  }
  tokens_.Take();
  auto made = std::make_unique<Item>(line);
  const int inside = std::max(HeightOf(object), HeightOf(keys->items) + 1);
  made->object = std::move(object);
  if (keys->items.size() == 1) {
    made->key = std::move(keys->items[0]);
  } else {
    CLOISTER_ASSIGN_OR_RETURN(made->key, Finish(std::move(keys), inside - 1));
  }
  return Finish(std::move(made), inside);
}

// Behind `object[start`, at the colon.
ExpressionParser::Result ExpressionParser::ParseSlice(ExpressionPointer object,
                                                      ExpressionPointer start, int line) {
  auto made = std::make_unique<Slice>(line);
  made->object = std::move(object);
  made->start = std::move(start);
  tokens_.Take();
  if (!tokens_.AtOperator(":") && !tokens_.AtOperator("]")) {
    CLOISTER_ASSIGN_OR_RETURN(made->stop, ParseCondition());
  }
  if (tokens_.SkipOperator(":") && !tokens_.AtOperator("]")) {
    CLOISTER_ASSIGN_OR_RETURN(made->step, ParseCondition());
  }
  CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator("]"));
  const int inside = std::max(
      {HeightOf(made->object), HeightOf(made->start), HeightOf(made->stop), HeightOf(made->step)});
  return Finish(std::move(made), inside);
}

ExpressionParser::Result ExpressionParser::ParseCall(ExpressionPointer callee) {
  auto made = std::make_unique<Call>(tokens_.line());
  made->callee = std::move(callee);
  CLOISTER_ASSIGN_OR_RETURN(made->arguments, ParseArguments());
  const int inside = std::max(HeightOf(made->callee), HeightOf(made->arguments));
  return Finish(std::move(made), inside);
}

base::Status ExpressionParser::ParseArgument(CallArguments& arguments) {
  const auto malformed = [this] { return SyntaxFault(tokens_.line(), "invalid call arguments"); };
  if (tokens_.SkipOperator("*")) {
    if (arguments.more_positional != nullptr || arguments.more_named != nullptr) {
      return malformed();
    }
    CLOISTER_ASSIGN_OR_RETURN(arguments.more_positional, ParseCondition());
    return {};
  }
  if (arguments.more_named != nullptr) return malformed();
  if (tokens_.SkipOperator("**")) {
    CLOISTER_ASSIGN_OR_RETURN(arguments.more_named, ParseCondition());
    return {};
  }
  if (tokens_.At(TokenKind::kName) && tokens_.NextIsOperator("=")) {
    std::string name = std::move(tokens_.Take().text);
    for (const auto& [known, value] : arguments.named) {
      if (known == name) return SyntaxFault(tokens_.line(), "keyword argument repeated: " + name);
    }
    tokens_.Take();
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer value, ParseCondition());
    arguments.named.emplace_back(std::move(name), std::move(value));
    return {};
  }
  if (arguments.more_positional != nullptr || !arguments.named.empty()) return malformed();
  CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer value, ParseCondition());
  arguments.positional.push_back(std::move(value));
  return {};
}

base::Result<CallArguments> ExpressionParser::ParseArguments() {
  CallArguments arguments;
  CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
  bool first = true;
  while (!tokens_.AtOperator(")")) {
    if (!std::exchange(first, false)) {
      CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.AtOperator(")")) break;
    }
    CLOISTER_RETURN_IF_ERROR(ParseArgument(arguments));
  }
  tokens_.Take();
  return arguments;
}

base::Result<std::string> ExpressionParser::ParseDottedName() {
  CLOISTER_ASSIGN_OR_RETURN(std::string name, tokens_.TakeName());
  while (tokens_.SkipOperator(".")) {
    CLOISTER_ASSIGN_OR_RETURN(const std::string part, tokens_.TakeName());
    name += "." + part;
  }
  return name;
}

ExpressionParser::Result ExpressionParser::ParseFilter(ExpressionPointer input) {
  auto made = std::make_unique<Filter>(tokens_.line());
  made->input = std::move(input);
  CLOISTER_ASSIGN_OR_RETURN(made->name, ParseDottedName());
  made->operation = FindFilter(made->name);
  if (tokens_.AtOperator("(")) {
    CLOISTER_ASSIGN_OR_RETURN(made->arguments, ParseArguments());
  }
  const int inside = std::max(HeightOf(made->input), HeightOf(made->arguments));
  return Finish(std::move(made), inside);
}

ExpressionParser::Result ExpressionParser::ParseFilters(ExpressionPointer input,
                                                        bool starts_with_name) {
  while (starts_with_name || tokens_.SkipOperator("|")) {
    starts_with_name = false;
    CLOISTER_ASSIGN_OR_RETURN(input, ParseFilter(std::move(input)));
  }
  return input;
}

bool ExpressionParser::AtTestArgument() const {
  switch (tokens_.current().kind) {
    case TokenKind::kString:
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return true;
    case TokenKind::kName:
      return !tokens_.AtName("else") && !tokens_.AtName("or") && !tokens_.AtName("and");
    default:
      return tokens_.AtOperator("[") || tokens_.AtOperator("{");
  }
}

ExpressionParser::Result ExpressionParser::ParseTest(ExpressionPointer value) {
  auto made = std::make_unique<Test>(tokens_.Take().line);
  const bool negated = tokens_.SkipName("not");
  made->input = std::move(value);
  CLOISTER_ASSIGN_OR_RETURN(made->name, ParseDottedName());
  made->operation = FindTest(made->name);
  if (tokens_.AtOperator("(")) {
    CLOISTER_ASSIGN_OR_RETURN(made->arguments, ParseArguments());
  } else if (AtTestArgument()) {
    if (tokens_.AtName("is")) return SyntaxFault(tokens_.line(), "`is` cannot follow a test");
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer argument, ParsePrimary());
    CLOISTER_ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    made->arguments.positional.push_back(std::move(argument));
  }
  const int inside = std::max(HeightOf(made->input), HeightOf(made->arguments));
  const int line = made->line;
  CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer test, Finish(std::move(made), inside));
  if (!negated) return test;
  auto opposite = std::make_unique<Unary>(ExpressionKind::kNot, line);
  opposite->operand = std::move(test);
  return Finish(std::move(opposite), inside + 1);
}

}  // namespace cloister::model::jinja
