#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/jinja/token.h"

namespace cloister::model::jinja {

// The tokens of a template, read from the front. The last one is kEnd.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  int line() const { return current().line; }
  Token& Take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }

  bool At(TokenKind kind) const { return current().kind == kind; }
  bool AtOperator(std::string_view text) const { return Is(current(), TokenKind::kOperator, text); }
  bool AtName(std::string_view text) const { return Is(current(), TokenKind::kName, text); }
  bool NextIsOperator(std::string_view text) const {
    return Is(next(), TokenKind::kOperator, text);
  }
  bool NextIsName(std::string_view text) const { return Is(next(), TokenKind::kName, text); }
  bool SkipOperator(std::string_view text);
  bool SkipName(std::string_view text);

  // kDataLoss, "line N: expected …, got …", where something else stands there.
  base::Status ExpectOperator(std::string_view text);
  base::Status ExpectName(std::string_view text);
  base::Status ExpectEnd(TokenKind kind);
  base::Result<std::string> TakeName();
  tl::unexpected<base::Error> Unexpected(const std::string& wanted) const;

 private:
  static bool Is(const Token& token, TokenKind kind, std::string_view text) {
    return token.kind == kind && token.text == text;
  }
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

}  // namespace cloister::model::jinja
