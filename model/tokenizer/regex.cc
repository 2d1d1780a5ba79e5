#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/tokenizer/regex.h"

#include <pcre2.h>

#include <new>
#include <utility>

#include "model/tokenizer/regex_syntax.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

constexpr std::size_t kMaxPattern = std::size_t{1} << 14;
// Backtracking steps from one place of the text. The patterns of real models take a handful.
constexpr std::uint32_t kMatchLimit = 1'000'000;
constexpr std::uint32_t kHeapLimit = 256 * 1024;  // KiB

struct ContextDeleter {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

struct Regex::Compiled {
  explicit Compiled(pcre2_code* made) : code(made), context(pcre2_match_context_create(nullptr)) {
    if (context == nullptr) throw std::bad_alloc();
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it matching is only slower
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimit);
  }
  ~Compiled() { pcre2_code_free(code); }
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;

  pcre2_code* code;
  std::unique_ptr<pcre2_match_context, ContextDeleter> context;
};

Regex::Regex(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

base::Result<Regex> Regex::Make(const std::string& pattern) {
  if (pattern.size() > kMaxPattern || !IsUtf8(pattern)) {
    return base::Fail(base::Code::kDataLoss,
                      "a pattern of the tokenizer is too long or no UTF-8: fetch the model again");
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::string translated, PcreFromOniguruma(pattern));
  return Compile(translated, pattern);
}

base::Result<Regex> Regex::Literal(std::string_view text) {
  if (text.size() > kMaxPattern || !IsUtf8(text)) {
    return base::Fail(base::Code::kDataLoss,
                      "a text of the tokenizer is too long or no UTF-8: fetch the model again");
  }
  return Compile(PcreFromText(text), std::string(text));
}

base::Result<Regex> Regex::Compile(const std::string& translated, const std::string& pattern) {
  const std::unique_ptr<pcre2_compile_context, ContextDeleter> context(
      pcre2_compile_context_create(nullptr));
  if (context == nullptr) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, context.get());
  if (code == nullptr) {
    PCRE2_UCHAR reason[256] = {};
    pcre2_get_error_message(error, reason, sizeof reason);
    return base::Fail(base::Code::kDataLoss,
                      "the tokenizer's pattern '" + pattern + "' is broken (" +
                          reinterpret_cast<const char*>(reason) + "): fetch the model again");
  }
  return Regex(std::make_unique<const Compiled>(code));
}

Regex::Search::Search(const Regex& regex, std::string_view text)
    : regex_(regex),
      text_(text),
      data_(pcre2_match_data_create_from_pattern(regex.compiled_->code, nullptr)) {
  if (data_ == nullptr) throw std::bad_alloc();
}

Regex::Search::~Search() { pcre2_match_data_free(static_cast<pcre2_match_data*>(data_)); }

std::optional<Regex::Match> Regex::Search::Next() {
  auto* data = static_cast<pcre2_match_data*>(data_);
  const auto run = [&](std::uint32_t options) {
    return pcre2_match(regex_.compiled_->code, reinterpret_cast<PCRE2_SPTR>(text_.data()),
                       text_.size(), from_, PCRE2_NO_UTF_CHECK | options, data,
                       regex_.compiled_->context.get());
  };
  while (from_ <= text_.size()) {
    int count = run(0);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT) count = run(PCRE2_NO_JIT);
    if (count < 0) break;
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
    const Match match = {bounds[0], bounds[1]};
    // \K may move a match's start back or behind its end.
    if (match.begin < from_ || match.end < match.begin) break;
    if (match.begin == match.end && match.end == last_end_) {
      from_ += from_ < text_.size() ? CharacterAt(text_, from_).size : 1;
      continue;
    }
    from_ = last_end_ = match.end;
    return match;
  }
  from_ = text_.size() + 1;
  return std::nullopt;
}

}  // namespace cloister::model
