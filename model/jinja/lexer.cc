#include "model/jinja/lexer.h"

#include <algorithm>
#include <string>

#include "model/jinja/expression_lexer.h"
#include "model/jinja/unicode.h"

namespace cloister::model::jinja {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

// Every line break as \n, and the last one dropped.
std::string Normalized(std::string_view source) {
  std::string result;
  result.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      result += source[i];
      continue;
    }
    result += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (result.ends_with('\n')) result.pop_back();
  return result;
}

bool IsSign(char c) { return c == '-' || c == '+'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  base::Result<std::vector<Token>> Run() {
    while (at_ < source_.size()) {
      const std::size_t tag = NextTag();
      if (tag == kNone) {
        AddText(source_.substr(at_));
        at_ = source_.size();
        break;
      }
      const std::string_view text = source_.substr(at_, tag - at_);
      switch (source_[tag + 1]) {
        case '#':
          CLOISTER_RETURN_IF_ERROR(Comment(text, tag));
          break;
        case '{':
          CLOISTER_RETURN_IF_ERROR(Variable(text, tag));
          break;
        default:
          CLOISTER_RETURN_IF_ERROR(Block(text, tag));
      }
    }
    Add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  std::size_t NextTag() const {
    for (std::size_t i = source_.find('{', at_); i != kNone; i = source_.find('{', i + 1)) {
      if (i + 1 < source_.size() && std::string_view("{%#").find(source_[i + 1]) != kNone) return i;
    }
    return kNone;
  }

  char At(std::size_t i) const { return i < source_.size() ? source_[i] : '\0'; }
  char SignAt(std::size_t i) const { return IsSign(At(i)) ? At(i) : '\0'; }
  bool Starts(std::size_t i, std::string_view text) const {
    return i <= source_.size() && source_.substr(i).starts_with(text);
  }

  void Add(TokenKind kind) { tokens_.push_back({kind, line_, {}, 0, 0}); }

  // Moves to `to`, counting lines.
  void MoveTo(std::size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  void AddText(std::string_view text) {
    if (text.empty()) return;
    Add(TokenKind::kText);
    tokens_.back().text = text;
  }

  // The text before a tag, with what the tag takes of it: all whitespace for `-`, else the indent
  // of its line for blocks and comments.
  void AddTextBefore(std::string_view text, char sign, bool takes_indent) {
    if (sign == '-') {
      text = Strip(text, Ends::kRight);
    } else if (sign != '+' && takes_indent) {
      const std::size_t line = text.rfind('\n') + 1;  // 0 where there is none
      const bool starts_line = line > 0 || at_ == 0 || source_[at_ - 1] == '\n';
      if (starts_line && Strip(text.substr(line), Ends::kLeft).empty()) text = text.substr(0, line);
    }
    AddText(text);
  }

  // Behind a tag that ends at `end`: with `-`, all whitespace goes too.
  std::size_t PastSpace(std::size_t end) const {
    const std::string_view rest = source_.substr(end);
    return end + rest.size() - Strip(rest, Ends::kLeft).size();
  }

  // Where the tag that ends at `i` with "%}" or "#}" ends with what it takes; npos if none does.
  std::size_t TagEnd(std::size_t i, std::string_view close) const {
    if (Starts(i, close)) {
      const std::size_t end = i + close.size();
      return At(end) == '\n' ? end + 1 : end;
    }
    if (!IsSign(At(i)) || !Starts(i + 1, close)) return kNone;
    const std::size_t end = i + 1 + close.size();
    return At(i) == '-' ? PastSpace(end) : end;
  }

  // A comment or raw block that the template ends right behind the start of is let be, as in Jinja.
  bool AtEnd(std::size_t begin) {
    if (begin < source_.size()) return false;
    MoveTo(source_.size());
    return true;
  }

  base::Status Comment(std::string_view text, std::size_t tag) {
    AddTextBefore(text, SignAt(tag + 2), true);
    MoveTo(tag);
    // A sign that opens the comment does not close it.
    const std::size_t first = tag + 2 + (SignAt(tag + 2) != '\0' ? 1 : 0);
    for (std::size_t i = source_.find('#', tag + 2); i != kNone; i = source_.find('#', i + 1)) {
      const bool sign = i > first && IsSign(source_[i - 1]);
      const std::size_t end = TagEnd(sign ? i - 1 : i, "#}");
      if (i < first || end == kNone) continue;
      MoveTo(end);
      return {};
    }
    if (AtEnd(first)) return {};
    return SyntaxFault(line_, "missing end of comment tag");
  }

  base::Status Variable(std::string_view text, std::size_t tag) {
    AddTextBefore(text, SignAt(tag + 2), false);
    MoveTo(tag);
    Add(TokenKind::kVariableBegin);
    at_ = tag + 2 + (SignAt(tag + 2) != '\0' ? 1 : 0);
    return Inside(TokenKind::kVariableEnd);
  }

  base::Status Block(std::string_view text, std::size_t tag) {
    AddTextBefore(text, SignAt(tag + 2), true);
    MoveTo(tag);
    const std::size_t begin = tag + 2 + (SignAt(tag + 2) != '\0' ? 1 : 0);
    if (const std::size_t end = RawEnd(begin, "raw"); end != kNone) return Raw(end);
    Add(TokenKind::kBlockBegin);
    at_ = begin;
    return Inside(TokenKind::kBlockEnd);
  }

  // Where a tag "{% name %}" whose inside starts at `i` ends, without what may follow; npos when it
  // is another tag.
  std::size_t RawEnd(std::size_t i, std::string_view name) const {
    i = PastSpace(i);
    if (!Starts(i, name)) return kNone;
    i = PastSpace(i + name.size());
    if (Starts(i, "%}")) return i + 2;
    return Starts(i, "-%}") ? PastSpace(i + 3) : kNone;
  }

  // What stands between {% raw %} and {% endraw %} is text.
  base::Status Raw(std::size_t begin) {
    MoveTo(begin);
    for (std::size_t i = source_.find("{%", begin); i != kNone; i = source_.find("{%", i + 1)) {
      const char sign = SignAt(i + 2);
      std::size_t end = PastSpace(i + 2 + (sign != '\0' ? 1 : 0));
      if (!Starts(end, "endraw")) continue;
      end = TagEnd(PastSpace(end + 6), "%}");
      if (end == kNone) continue;
      AddTextBefore(source_.substr(begin, i - begin), sign, true);
      MoveTo(end);
      return {};
    }
    if (AtEnd(begin)) return {};
    return SyntaxFault(line_, "missing end of raw directive");
  }

  // The end of the tag at at_, or npos.
  std::size_t EndHere(TokenKind end) const {
    if (end == TokenKind::kBlockEnd) return TagEnd(at_, "%}");
    if (Starts(at_, "}}")) return at_ + 2;
    return Starts(at_, "-}}") ? PastSpace(at_ + 3) : kNone;
  }

  base::Status Inside(TokenKind end) {
    std::string open;  // brackets
    while (at_ < source_.size()) {
      const std::size_t behind = open.empty() ? EndHere(end) : kNone;
      if (behind != kNone) {
        Add(end);
        MoveTo(behind);
        return {};
      }
      if (const std::size_t past = PastSpace(at_); past != at_) {
        MoveTo(past);
        continue;
      }
      Token token{TokenKind::kEnd, line_, {}, 0, 0};
      CLOISTER_ASSIGN_OR_RETURN(const std::size_t next, ReadToken(source_, at_, token));
      if (token.kind == TokenKind::kOperator) {
        CLOISTER_RETURN_IF_ERROR(Balance(token.text, open));
      }
      tokens_.push_back(std::move(token));
      MoveTo(next);
    }
    return {};  // the parser misses the end
  }

  base::Status Balance(const std::string& bracket, std::string& open) const {
    if (bracket == "{") open += '}';
    if (bracket == "(") open += ')';
    if (bracket == "[") open += ']';
    if (bracket != "}" && bracket != ")" && bracket != "]") return {};
    if (open.empty()) return SyntaxFault(line_, "unexpected '" + bracket + "'");
    if (open.back() != bracket[0]) {
      return SyntaxFault(line_, "unexpected '" + bracket + "', expected '" + open.back() + "'");
    }
    open.pop_back();
    return {};
  }

  std::string_view source_;
  std::size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

tl::unexpected<base::Error> SyntaxFault(int line, const std::string& message) {
  return base::Fail(base::Code::kDataLoss, "line " + std::to_string(line) + ": " + message);
}

base::Result<std::vector<Token>> Tokenize(std::string_view source) {
  const std::string normalized = Normalized(source);
  return Lexer(normalized).Run();
}

}  // namespace cloister::model::jinja
