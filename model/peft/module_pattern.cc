#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/peft/module_pattern.h"

#include <pcre2.h>

#include <cstdint>
#include <new>
#include <utility>

namespace cloister::model {
namespace {

using base::Code;

constexpr std::size_t kMaxExpression = 4096;
constexpr std::uint32_t kMaxSteps = 20000;
constexpr std::uint32_t kMaxHeapKiB = 1024;

}  // namespace

struct ModulePattern::Compiled {
  std::string expression;
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;

  explicit Compiled(std::string text) : expression(std::move(text)) {}
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

ModulePattern::ModulePattern(std::unique_ptr<const Compiled> compiled)
    : compiled_(std::move(compiled)) {}
ModulePattern::ModulePattern(ModulePattern&&) noexcept = default;
ModulePattern& ModulePattern::operator=(ModulePattern&&) noexcept = default;
ModulePattern::~ModulePattern() = default;

base::Result<ModulePattern> ModulePattern::Make(const std::string& expression) {
  if (expression.size() > kMaxExpression) {
    return base::Fail(Code::kDataLoss, "a pattern of more than " + std::to_string(kMaxExpression) +
                                           " characters: name the modules in a list");
  }
  auto compiled = std::make_unique<Compiled>(expression);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // In Python `$` holds before a last newline too, but no module's name has one.
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                 PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C,
                                 &error, &offset, nullptr);
  if (compiled->code == nullptr) {
    PCRE2_UCHAR reason[256] = {};
    pcre2_get_error_message(error, reason, sizeof reason);
    return base::Fail(Code::kDataLoss, "the pattern '" + expression + "' is broken (" +
                                           reinterpret_cast<const char*>(reason) + "): correct it");
  }
  compiled->context = pcre2_match_context_create(nullptr);
  if (compiled->context == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(compiled->context, kMaxSteps);
  pcre2_set_depth_limit(compiled->context, kMaxSteps);
  pcre2_set_heap_limit(compiled->context, kMaxHeapKiB);
  return ModulePattern(std::move(compiled));
}

base::Result<bool> ModulePattern::Matches(std::string_view name) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  if (data == nullptr) throw std::bad_alloc();
  const int count = pcre2_match(compiled_->code, reinterpret_cast<PCRE2_SPTR>(name.data()),
                                name.size(), 0, 0, data.get(), compiled_->context);
  if (count == PCRE2_ERROR_NOMATCH) return false;
  if (count >= 0) return true;
  return base::Fail(Code::kDataLoss, "the pattern '" + compiled_->expression +
                                         "' takes too many steps to match: write a simpler one");
}

}  // namespace cloister::model
