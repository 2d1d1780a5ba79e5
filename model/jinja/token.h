#pragma once

#include <cstdint>
#include <string>

namespace cloister::model::jinja {

enum class TokenKind {
  kText,           // between the tags
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;  // a name, an operator as written, or a string with its escapes read
  std::int64_t integer = 0;
  bool only_negative = false;  // 2⁶³, which fits 64 bits behind a minus alone: `integer` is -2⁶³
  double real = 0;
};

}  // namespace cloister::model::jinja
