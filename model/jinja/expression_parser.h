#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/jinja/ast.h"
#include "model/jinja/limits.h"
#include "model/jinja/token_stream.h"

namespace cloister::model::jinja {

// Reads expressions with Jinja's precedence: `or`, `and`, `not`, comparisons, + -, ~, * / // %,
// **, signs, then what follows a value (. [] () | is).
class ExpressionParser {
 public:
  using Result = base::Result<ExpressionPointer>;

  ExpressionParser(TokenStream& tokens, const Limits& limits) : tokens_(tokens), limits_(limits) {}

  Result ParseExpression() { return ParseCondition(); }
  // Expressions with commas between them make a tuple. `end`: a name that ends it.
  Result ParseTuple(bool with_condition, std::string_view end = {}, bool in_parentheses = false);
  // `a`, `a, b`, `(a, b), c`; with `namespaces` also `a.b`.
  base::Result<Target> ParseTarget(bool namespaces, std::string_view end = {});
  // `|name(…)|name`, or `name(…)|name` at the start of a filter block.
  Result ParseFilters(ExpressionPointer input, bool starts_with_name);

  // Something nested starts in the source: there can be no more of it than the stack has room for.
  base::Status Enter();
  void Leave() { --nesting_; }
  std::vector<std::string> TakeStrings() { return std::move(strings_); }

 private:
  using Part = Result (ExpressionParser::*)();
  using Sign = std::pair<std::string_view, BinaryOperator>;

  Result ParseCondition();
  Result ParseConditionNested();
  Result ParseOr() { return ParseLogical("or", ExpressionKind::kOr, &ExpressionParser::ParseAnd); }
  Result ParseAnd() {
    return ParseLogical("and", ExpressionKind::kAnd, &ExpressionParser::ParseNot);
  }
  Result ParseNot();
  Result ParseComparisons();
  Result ParseSum();
  Result ParseConcat();
  Result ParseProduct();
  Result ParsePower();
  Result ParseSigned() { return ParseUnary(true); }
  Result ParseUnary(bool with_filters);
  Result ParseOperand();
  Result ParsePrimary();
  Result ParseNameOrConstant();
  Result ParseListDisplay();
  Result ParseDictDisplay();
  Result ParsePostfix(ExpressionPointer value);
  Result ParseFiltersAndTests(ExpressionPointer value);
  Result ParseAttribute(ExpressionPointer object);
  Result ParseItem(ExpressionPointer object);
  Result ParseSlice(ExpressionPointer object, ExpressionPointer start, int line);
  Result ParseCall(ExpressionPointer callee);
  Result ParseTest(ExpressionPointer value);
  Result ParseFilter(ExpressionPointer input);
  Result ParseLogical(std::string_view name, ExpressionKind kind, Part part);
  Result ParseChain(std::initializer_list<Sign> signs, Part part);
  base::Result<CallArguments> ParseArguments();
  base::Status ParseArgument(CallArguments& arguments);
  base::Result<std::string> ParseDottedName();
  bool AtTupleEnd(std::string_view end) const;
  bool AtTestArgument() const;
  ExpressionPointer MakeText(int line, std::string text);
  // `made` around what is `inside` high.
  Result Finish(ExpressionPointer made, int inside) const;

  TokenStream& tokens_;
  const Limits& limits_;
  int nesting_ = 0;
  std::vector<std::string> strings_;
};

}  // namespace cloister::model::jinja
