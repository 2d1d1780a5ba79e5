#include "model/jinja/token_stream.h"

#include "model/jinja/lexer.h"

namespace cloister::model::jinja {
namespace {

std::string Described(const Token& token) {
  switch (token.kind) {
    case TokenKind::kText:
      return "text";
    case TokenKind::kVariableBegin:
      return "'{{'";
    case TokenKind::kVariableEnd:
      return "'}}'";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kName:
    case TokenKind::kOperator:
      return "'" + token.text + "'";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return "a number";
    case TokenKind::kEnd:
      return "the end of the template";
  }
  return "something else";
}

}  // namespace

bool TokenStream::SkipOperator(std::string_view text) {
  if (!AtOperator(text)) return false;
  Take();
  return true;
}

bool TokenStream::SkipName(std::string_view text) {
  if (!AtName(text)) return false;
  Take();
  return true;
}

base::Status TokenStream::ExpectOperator(std::string_view text) {
  if (SkipOperator(text)) return {};
  return Unexpected("'" + std::string(text) + "'");
}

base::Status TokenStream::ExpectName(std::string_view text) {
  if (SkipName(text)) return {};
  return Unexpected("'" + std::string(text) + "'");
}

base::Status TokenStream::ExpectEnd(TokenKind kind) {
  if (!At(kind)) return Unexpected(kind == TokenKind::kBlockEnd ? "'%}'" : "'}}'");
  Take();
  return {};
}

base::Result<std::string> TokenStream::TakeName() {
  if (!At(TokenKind::kName)) return Unexpected("a name");
  return std::move(Take().text);
}

tl::unexpected<base::Error> TokenStream::Unexpected(const std::string& wanted) const {
  return SyntaxFault(line(), "expected " + wanted + ", got " + Described(current()));
}

}  // namespace cloister::model::jinja
