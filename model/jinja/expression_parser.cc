#include "model/jinja/expression_parser.h"

#include "model/jinja/constant_expressions.h"
#include "model/jinja/expression_height.h"
#include "model/jinja/lexer.h"

namespace cloister::model::jinja {
namespace {

// What an expression is as a target, where it can be one.
base::Result<Target> AsTarget(Expression& expression) {
  Target target;
  target.line = expression.line;
  if (expression.kind == ExpressionKind::kName) {
    target.name = static_cast<Name&>(expression).name;
    return target;
  }
  if (expression.kind != ExpressionKind::kTuple) {
    return SyntaxFault(expression.line, "can't assign to this");
  }
  target.kind = Target::Kind::kTuple;
  for (const ExpressionPointer& item : static_cast<Sequence&>(expression).items) {
    CLOISTER_ASSIGN_OR_RETURN(Target part, AsTarget(*item));
    target.parts.push_back(std::move(part));
  }
  return target;
}

}  // namespace

base::Status ExpressionParser::Enter() {
  if (++nesting_ <= limits_.nesting) return {};
  return SyntaxFault(tokens_.line(), "the template is nested more than " +
                                         std::to_string(limits_.nesting) + " deep");
}

ExpressionParser::Result ExpressionParser::Finish(ExpressionPointer made, int inside) const {
  made->height = inside + 1;
  if (made->height <= limits_.expression_height) return made;
  return SyntaxFault(made->line, "an expression has more than " +
                                     std::to_string(limits_.expression_height) +
                                     " operators inside one another");
}

bool ExpressionParser::AtTupleEnd(std::string_view end) const {
  return tokens_.At(TokenKind::kVariableEnd) || tokens_.At(TokenKind::kBlockEnd) ||
         tokens_.AtOperator(")") || (!end.empty() && tokens_.AtName(end));
}

ExpressionParser::Result ExpressionParser::ParseTuple(bool with_condition, std::string_view end,
                                                      bool in_parentheses) {
  auto tuple = std::make_unique<Sequence>(ExpressionKind::kTuple, tokens_.line());
  bool commas = false;
  while (true) {
    if (!tuple->items.empty()) CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (AtTupleEnd(end)) break;
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer item,
                              with_condition ? ParseCondition() : ParseOr());
    tuple->items.push_back(std::move(item));
    if (!tokens_.AtOperator(",")) break;
    commas = true;
  }
  if (!commas) {
    if (!tuple->items.empty()) return std::move(tuple->items[0]);
    if (!in_parentheses) return tokens_.Unexpected("an expression");
  }
  const int inside = HeightOf(tuple->items);
  return Finish(std::move(tuple), inside);
}

base::Result<Target> ExpressionParser::ParseTarget(bool namespaces, std::string_view end) {
  Target tuple;
  tuple.kind = Target::Kind::kTuple;
  tuple.line = tokens_.line();
  bool commas = false;
  while (true) {
    if (!tuple.parts.empty()) CLOISTER_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (AtTupleEnd(end)) break;
    Target part;
    const int line = tokens_.line();
    if (namespaces && tokens_.At(TokenKind::kName) && tokens_.NextIsOperator(".") &&
        !IsConstantName(tokens_.current().text)) {
      part.kind = Target::Kind::kNamespace;
      part.line = line;
      part.name = std::move(tokens_.Take().text);
      tokens_.Take();
      CLOISTER_ASSIGN_OR_RETURN(part.attribute, tokens_.TakeName());
    } else {
      CLOISTER_ASSIGN_OR_RETURN(const ExpressionPointer primary, ParsePrimary());
      CLOISTER_ASSIGN_OR_RETURN(part, AsTarget(*primary));
    }
    tuple.parts.push_back(std::move(part));
    if (!tokens_.AtOperator(",")) break;
    commas = true;
  }
  if (commas) return tuple;
  if (tuple.parts.empty()) return tokens_.Unexpected("a name");
  return std::move(tuple.parts[0]);
}

ExpressionParser::Result ExpressionParser::ParseCondition() {
  CLOISTER_RETURN_IF_ERROR(Enter());
  Result result = ParseConditionNested();
  Leave();
  return result;
}

ExpressionParser::Result ExpressionParser::ParseConditionNested() {
  int line = tokens_.line();
  CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer value, ParseOr());
  while (tokens_.SkipName("if")) {
    auto made = std::make_unique<Conditional>(line);
    made->then = std::move(value);
    CLOISTER_ASSIGN_OR_RETURN(made->test, ParseOr());
    if (tokens_.SkipName("else")) {
      CLOISTER_ASSIGN_OR_RETURN(made->otherwise, ParseCondition());
    }
    const int inside =
        std::max({HeightOf(made->then), HeightOf(made->test), HeightOf(made->otherwise)});
    CLOISTER_ASSIGN_OR_RETURN(value, Finish(std::move(made), inside));
    line = tokens_.line();
  }
  return value;
}

ExpressionParser::Result ExpressionParser::ParseLogical(std::string_view name, ExpressionKind kind,
                                                        Part part) {
  CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer value, (this->*part)());
  while (tokens_.AtName(name)) {
    auto made = std::make_unique<Binary>(kind, tokens_.Take().line);
    made->left = std::move(value);
    CLOISTER_ASSIGN_OR_RETURN(made->right, (this->*part)());
    const int inside = std::max(HeightOf(made->left), HeightOf(made->right));
    CLOISTER_ASSIGN_OR_RETURN(value, Finish(std::move(made), inside));
  }
  return value;
}

ExpressionParser::Result ExpressionParser::ParseNot() {
  if (!tokens_.AtName("not")) return ParseComparisons();
  CLOISTER_RETURN_IF_ERROR(Enter());
  auto made = std::make_unique<Unary>(ExpressionKind::kNot, tokens_.Take().line);
  CLOISTER_ASSIGN_OR_RETURN(made->operand, ParseNot());
  Leave();
  const int inside = HeightOf(made->operand);
  return Finish(std::move(made), inside);
}

ExpressionParser::Result ExpressionParser::ParseComparisons() {
  static constexpr std::pair<std::string_view, Comparison> kSigns[] = {
      {"==", Comparison::kEqual},  {"!=", Comparison::kNotEqual},
      {"<", Comparison::kLess},    {"<=", Comparison::kLessEqual},
      {">", Comparison::kGreater}, {">=", Comparison::kGreaterEqual}};
  auto made = std::make_unique<Compare>(tokens_.line());
  CLOISTER_ASSIGN_OR_RETURN(made->first, ParseSum());
  int inside = HeightOf(made->first);
  while (true) {
    const Comparison* sign = nullptr;
    static constexpr Comparison kIn = Comparison::kIn, kNotIn = Comparison::kNotIn;
    for (const auto& [text, known] : kSigns) {
      if (tokens_.AtOperator(text)) sign = &known;
    }
    if (tokens_.AtName("in")) sign = &kIn;
    if (tokens_.AtName("not") && tokens_.NextIsName("in")) sign = &kNotIn;
    if (sign == nullptr) break;
    tokens_.Take();
    if (*sign == Comparison::kNotIn) tokens_.Take();
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer operand, ParseSum());
    inside = std::max(inside, HeightOf(operand));
    made->rest.emplace_back(*sign, std::move(operand));
  }
  if (made->rest.empty()) return std::move(made->first);
  return Finish(std::move(made), inside);
}

ExpressionParser::Result ExpressionParser::ParseChain(std::initializer_list<Sign> signs,
                                                      Part part) {
  CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer value, (this->*part)());
  while (true) {
    const auto sign = std::find_if(signs.begin(), signs.end(), [this](const Sign& known) {
      return tokens_.AtOperator(known.first);
    });
    if (sign == signs.end()) return value;
    auto made = std::make_unique<Binary>(ExpressionKind::kArithmetic, tokens_.Take().line);
    made->op = sign->second;
    made->left = std::move(value);
    CLOISTER_ASSIGN_OR_RETURN(made->right, (this->*part)());
    made->sign_outside =
        made->op == BinaryOperator::kPower && IsConstant(*made->left) && !IsConstant(*made->right);
    const int inside = std::max(HeightOf(made->left), HeightOf(made->right));
    CLOISTER_ASSIGN_OR_RETURN(value, Finish(std::move(made), inside));
  }
}

ExpressionParser::Result ExpressionParser::ParseSum() {
  return ParseChain({{"+", BinaryOperator::kAdd}, {"-", BinaryOperator::kSubtract}},
                    &ExpressionParser::ParseConcat);
}

ExpressionParser::Result ExpressionParser::ParseConcat() {
  auto made = std::make_unique<Sequence>(ExpressionKind::kConcat, tokens_.line());
  do {
    CLOISTER_ASSIGN_OR_RETURN(ExpressionPointer part, ParseProduct());
    made->items.push_back(std::move(part));
  } while (tokens_.SkipOperator("~"));
  if (made->items.size() == 1) return std::move(made->items[0]);
  const int inside = HeightOf(made->items);
  return Finish(std::move(made), inside);
}

ExpressionParser::Result ExpressionParser::ParseProduct() {
  return ParseChain({{"*", BinaryOperator::kMultiply},
                     {"/", BinaryOperator::kDivide},
                     {"//", BinaryOperator::kFloorDivide},
                     {"%", BinaryOperator::kModulo}},
                    &ExpressionParser::ParsePower);
}

ExpressionParser::Result ExpressionParser::ParsePower() {
  return ParseChain({{"**", BinaryOperator::kPower}}, &ExpressionParser::ParseSigned);
}

}  // namespace cloister::model::jinja
