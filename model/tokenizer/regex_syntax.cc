#include "model/tokenizer/regex_syntax.h"

#include <cctype>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "model/tokenizer/character_sets.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr int kMaxDepth = 16;  // of classes within classes

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// A set of characters: the inside of a PCRE2 class, and expressions of one character each that no
// class can hold.
struct CharacterSet {
  std::string items;
  std::vector<std::string> others;

  void Add(std::string_view set, bool negated) {
    if (!negated) {
      items += set;
    } else {
      others.push_back("[^" + std::string(set) + "]");
    }
  }

  // As an expression that matches one character.
  std::string Expression(bool negated) const {
    if (others.empty()) {
      if (items.empty()) return negated ? "(?s:.)" : "(?!)";
      return (negated ? "[^" : "[") + items + "]";
    }
    std::string any = items.empty() ? std::string() : "[" + items + "]";
    for (const std::string& other : others) any += (any.empty() ? "" : "|") + other;
    return negated ? "(?:(?!" + any + ")(?s:.))" : "(?:" + any + ")";
  }
};

std::string QuotedCharacter(char c) {
  if (std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80) {
    return std::string(1, c);
  }
  char text[8];
  std::snprintf(text, sizeof text, "\\x{%x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  return text;
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  base::Result<std::string> Translate() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        CLOISTER_RETURN_IF_ERROR(Escape());
      } else if (c == '[') {
        ++at_;
        CLOISTER_ASSIGN_OR_RETURN(const std::string one, Class(0));
        out_ += one;
      } else if (c == '(') {
        CLOISTER_RETURN_IF_ERROR(Group());
      } else if (c == '{') {
        CLOISTER_RETURN_IF_ERROR(Interval());
      } else {
        out_ += c;
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  tl::unexpected<base::Error> NotRead(std::string_view construct) const {
    return base::Fail(Code::kUnimplemented, "the tokenizer's pattern '" + std::string(pattern_) +
                                                "' has '" + std::string(construct) +
                                                "', which is not supported: use another model");
  }
  tl::unexpected<base::Error> Unfinished() const {
    return base::Fail(Code::kDataLoss, "the tokenizer's pattern '" + std::string(pattern_) +
                                           "' ends too early: fetch the model again");
  }
  std::string_view Rest() const { return pattern_.substr(at_); }
  bool Skip(std::string_view text) {
    if (!Rest().starts_with(text)) return false;
    at_ += text.size();
    return true;
  }

  // What escapes mean inside and outside of classes alike: an item of a class, and whether it is
  // taken away. At the backslash.
  struct Item {
    std::string set;
    bool negated = false;
    bool single = false;  // one character, which may begin or end a range
  };
  base::Result<std::optional<Item>> SharedEscape() {
    if (at_ + 1 >= pattern_.size()) return Unfinished();
    const char c = pattern_[at_ + 1];
    if (std::string_view("sSdhH").find(c) != std::string_view::npos) {
      at_ += 2;
      return std::optional(Item{ShorthandSet(c)});
    }
    if (c == 'w' || c == 'W' || c == 'D') {
      at_ += 2;
      return std::optional(Item{ShorthandSet(c == 'D' ? 'd' : 'w'), c != 'w'});
    }
    if (c == 'p' || c == 'P') return Property();
    return Character();
  }

  // \p{Name}, \P{Name} or \p{^Name}.
  base::Result<std::optional<Item>> Property() {
    bool negated = pattern_[at_ + 1] == 'P';
    const std::size_t begin = at_ + 3;
    if (pattern_.substr(at_ + 2, 1) != "{") return NotRead(Rest().substr(0, 3));
    const std::size_t end = pattern_.find('}', begin);
    if (end == std::string_view::npos) return Unfinished();
    std::string_view name = pattern_.substr(begin, end - begin);
    if (name.starts_with("^")) {
      negated = !negated;
      name.remove_prefix(1);
    }
    const auto set = PropertySet(name);
    if (!set) return NotRead(Rest().substr(0, end + 1 - at_));
    at_ = end + 1;
    return std::optional(Item{*set, negated});
  }

  // An escape of one character: \n, \x41, \x{41}, \u0041, \., … Nothing for any other.
  base::Result<std::optional<Item>> Character() {
    const char c = pattern_[at_ + 1];
    const auto hex = [](std::string_view digits) -> std::optional<Item> {
      for (const char d : digits) {
        if (std::isxdigit(static_cast<unsigned char>(d)) == 0) return std::nullopt;
      }
      if (digits.empty() || digits.size() > 6) return std::nullopt;
      return Item{"\\x{" + std::string(digits) + "}", false, true};
    };
    if (c == 'x' && pattern_.substr(at_ + 2, 1) == "{") {
      const std::size_t end = pattern_.find('}', at_);
      if (end == std::string_view::npos) return Unfinished();
      auto item = hex(pattern_.substr(at_ + 3, end - at_ - 3));
      if (!item) return NotRead(Rest().substr(0, end + 1 - at_));
      at_ = end + 1;
      return item;
    }
    if (c == 'x' || c == 'u') {
      const std::size_t most = c == 'x' ? 2 : 4;
      std::size_t count = 0;
      while (count < most && at_ + 2 + count < pattern_.size() &&
             std::isxdigit(static_cast<unsigned char>(pattern_[at_ + 2 + count])) != 0) {
        ++count;
      }
      if (count == 0 || (c == 'u' && count != most)) return NotRead(Rest().substr(0, 2));
      auto item = hex(pattern_.substr(at_ + 2, count));
      at_ += 2 + count;
      return item;
    }
    static constexpr std::string_view kNames = "ntrfvae";
    static constexpr std::string_view kValues = "\n\t\r\f\v\a\x1b";
    if (const std::size_t named = kNames.find(c); named != std::string_view::npos) {
      at_ += 2;
      return std::optional(Item{QuotedCharacter(kValues[named]), false, true});
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && std::isalnum(byte) == 0) {
      at_ += 2;
      return std::optional(Item{QuotedCharacter(c), false, true});
    }
    return std::optional<Item>();
  }

  base::Status Escape() {
    if (at_ + 1 >= pattern_.size()) return Unfinished();
    const char c = pattern_[at_ + 1];
    if (c == 'b' || c == 'B') {
      const std::string word = "[" + LoneWordSet() + "]";
      const std::string before = "(?<=" + word + ")", not_before = "(?<!" + word + ")";
      const std::string after = "(?=" + word + ")", not_after = "(?!" + word + ")";
      out_ += c == 'b' ? "(?:" + before + not_after + "|" + not_before + after + ")"
                       : "(?:" + before + after + "|" + not_before + not_after + ")";
      at_ += 2;
      return {};
    }
    if (c == 'w' || c == 'W') {
      out_ += (c == 'w' ? "[" : "[^") + LoneWordSet() + "]";
      at_ += 2;
      return {};
    }
    if (std::string_view("AzZR").find(c) != std::string_view::npos || (IsDigit(c) && c != '0')) {
      out_ += pattern_.substr(at_, 2);
      at_ += 2;
      return {};
    }
    CLOISTER_ASSIGN_OR_RETURN(const auto item, SharedEscape());
    if (!item) return NotRead(Rest().substr(0, 2));
    CharacterSet one;
    one.Add(item->set, item->negated);
    out_ += item->single ? item->set : one.Expression(false);
    return {};
  }

  // A group's opening. Oniguruma's (?m) lets the dot match line ends, as Perl's (?s) does.
  base::Status Group() {
    for (const std::string_view kept : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"}) {
      if (Skip(kept)) {
        out_ += kept;
        return {};
      }
    }
    if (Skip("(?#")) {
      const std::size_t end = pattern_.find(')', at_);
      if (end == std::string_view::npos) return Unfinished();
      at_ = end + 1;
      return {};
    }
    if (!Rest().starts_with("(?")) {
      if (Rest().starts_with("(*")) return NotRead("(*");
      out_ += '(';
      ++at_;
      return {};
    }
    if (Rest().starts_with("(?<") && Rest().size() > 3 &&
        std::isalpha(static_cast<unsigned char>(Rest()[3])) != 0) {
      out_ += "(?<";
      at_ += 3;
      return {};
    }
    std::size_t end = at_ + 2;
    std::string flags;
    for (; end < pattern_.size() &&
           std::string_view("imx-").find(pattern_[end]) != std::string_view::npos;
         ++end) {
      if (pattern_[end] == 'x') return NotRead("(?x)");
      flags += pattern_[end] == 'm' ? 's' : pattern_[end];
    }
    if (flags.empty() || end >= pattern_.size() || (pattern_[end] != ':' && pattern_[end] != ')')) {
      return NotRead(Rest().substr(0, 3));
    }
    out_ += "(?" + flags + pattern_[end];
    at_ = end + 1;
    return {};
  }

  // {n}, {n,}, {n,m} and {,m}; any other brace stands for itself.
  base::Status Interval() {
    std::size_t end = at_ + 1;
    bool digits = false, comma = false;
    for (; end < pattern_.size() && pattern_[end] != '}'; ++end) {
      if (pattern_[end] == ',' && !comma) {
        comma = true;
      } else if (IsDigit(pattern_[end])) {
        digits = true;
      } else {
        break;
      }
    }
    if (!digits || end >= pattern_.size() || pattern_[end] != '}') {
      out_ += "\\{";
      ++at_;
      return {};
    }
    if (pattern_.substr(end + 1, 1) == "+") return NotRead("}+");
    const std::string_view body = pattern_.substr(at_ + 1, end - at_ - 1);
    out_ += (body[0] == ',' ? "{0" : "{") + std::string(body) + "}";
    at_ = end + 1;
    return {};
  }

  // A class; behind its opening bracket.
  base::Result<std::string> Class(int depth) {
    if (depth > kMaxDepth) return NotRead("[[[[");
    const bool negated = Skip("^");
    std::vector<CharacterSet> sets(1);  // to be intersected
    bool first = true;
    for (;; first = false) {
      if (at_ >= pattern_.size()) return Unfinished();
      if (pattern_[at_] == ']' && !first) break;
      if (Skip("&&")) {
        sets.emplace_back();
        continue;
      }
      CLOISTER_RETURN_IF_ERROR(ClassItem(depth, sets.back()));
    }
    ++at_;
    if (sets.size() == 1) return sets[0].Expression(negated);
    std::string all;
    for (std::size_t i = 0; i + 1 < sets.size(); ++i) {
      all += "(?=" + sets[i].Expression(false) + ")";
    }
    all += sets.back().Expression(false);
    return negated ? "(?:(?!" + all + ")(?s:.))" : "(?:" + all + ")";
  }

  base::Status ClassItem(int depth, CharacterSet& set) {
    if (Rest().starts_with("[:")) {
      const std::size_t end = pattern_.find(":]", at_ + 2);
      if (end != std::string_view::npos && end - at_ < 16) {
        std::string_view name = pattern_.substr(at_ + 2, end - at_ - 2);
        const bool negated = name.starts_with("^");
        if (negated) name.remove_prefix(1);
        const auto named = PosixSet(name);
        if (!named) return NotRead(Rest().substr(0, end + 2 - at_));
        set.Add(*named, negated);
        at_ = end + 2;
        return {};
      }
    }
    if (Skip("[")) {
      CLOISTER_ASSIGN_OR_RETURN(std::string inner, Class(depth + 1));
      set.others.push_back(std::move(inner));
      return {};
    }
    CLOISTER_ASSIGN_OR_RETURN(const Item begin, ClassCharacter());
    const bool range = begin.single && Rest().size() >= 2 && Rest()[0] == '-' && Rest()[1] != ']';
    if (!range) {
      set.Add(begin.set, begin.negated);
      return {};
    }
    ++at_;
    if (Rest().starts_with("[")) return NotRead("-[");
    CLOISTER_ASSIGN_OR_RETURN(const Item end, ClassCharacter());
    if (!end.single) return NotRead("- before a set");
    set.Add(begin.set + "-" + end.set, false);
    return {};
  }

  base::Result<Item> ClassCharacter() {
    if (pattern_[at_] == '\\') {
      if (Rest().starts_with("\\b")) {
        at_ += 2;
        return Item{"\\x{8}", false, true};
      }
      CLOISTER_ASSIGN_OR_RETURN(auto item, SharedEscape());
      if (!item) return NotRead(Rest().substr(0, 2));
      return *std::move(item);
    }
    // The whole character, whose first byte says how long it is.
    std::size_t size = 1;
    while (at_ + size < pattern_.size() &&
           (static_cast<unsigned char>(pattern_[at_ + size]) & 0xc0) == 0x80) {
      ++size;
    }
    const std::string_view character = pattern_.substr(at_, size);
    at_ += size;
    return Item{size == 1 ? QuotedCharacter(character[0]) : std::string(character), false, true};
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

base::Result<std::string> PcreFromOniguruma(std::string_view pattern) {
  return Translator(pattern).Translate();
}

std::string PcreFromText(std::string_view text) {
  std::string quoted;
  for (const char c : text) quoted += QuotedCharacter(c);
  return quoted;
}

}  // namespace cloister::model
