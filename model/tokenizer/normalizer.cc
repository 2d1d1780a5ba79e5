#include "model/tokenizer/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "model/tokenizer/regex.h"
#include "model/tokenizer/unicode_categories.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {

class Normalizer::Step {
 public:
  virtual ~Step() = default;
  virtual std::string Apply(std::string text) const = 0;
};

namespace {

using Step = Normalizer::Step;

// Calls `change(part, result)` on each longest part of `text` that is UTF-8 and copies the rest.
template <typename Change>
std::string ByParts(std::string_view text, Change change) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t done = 0; done < text.size();) {
    const std::size_t good = Utf8Prefix(text.substr(done));
    if (good > 0) change(text.substr(done, good), result);
    done += good;
    while (done < text.size()) {
      const Utf8Character next = CharacterAt(text, done);
      if (next.valid) break;
      result += text.substr(done, next.size);
      done += next.size;
    }
  }
  return result;
}

const icu::Normalizer2* FormOf(UnicodeForm form) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* found = nullptr;
  switch (form) {
    case UnicodeForm::kNfc:
      found = icu::Normalizer2::getNFCInstance(error);
      break;
    case UnicodeForm::kNfd:
      found = icu::Normalizer2::getNFDInstance(error);
      break;
    case UnicodeForm::kNfkc:
      found = icu::Normalizer2::getNFKCInstance(error);
      break;
    case UnicodeForm::kNfkd:
      found = icu::Normalizer2::getNFKDInstance(error);
      break;
  }
  return U_FAILURE(error) ? nullptr : found;
}

class UnicodeFormStep final : public Step {
 public:
  explicit UnicodeFormStep(const icu::Normalizer2* form) : form_(form) {}

  std::string Apply(std::string text) const override {
    if (IsAscii(text)) return text;  // every form of it is itself
    return ByParts(text, [&](std::string_view part, std::string& result) {
      constexpr std::size_t kMost = std::numeric_limits<std::int32_t>::max() / 2;
      while (!part.empty()) {
        // Texts beyond ICU's reach are taken in parts.
        const std::string_view head = part.substr(0, std::min(part.size(), kMost));
        AppendHead(head, result);
        part.remove_prefix(head.size());
      }
    });
  }

 private:
  static icu::StringPiece Piece(std::string_view text) {
    return {text.data(), static_cast<std::int32_t>(text.size())};
  }

  // Characters that Unicode 9.0 does not have stay, and what stands on either side of them does not
  // see the other.
  void AppendHead(std::string_view text, std::string& result) const {
    UErrorCode error = U_ZERO_ERROR;
    if (form_->isNormalizedUTF8(Piece(text), error)) {
      result += text;
      return;
    }
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Character next = CharacterAt(text, at);
      if (next.point >= 0x80 && !IsInUnicode9(next.point)) {
        AppendNormalized(text.substr(begin, at - begin), result);
        result += text.substr(at, next.size);
        begin = at + next.size;
      }
      at += next.size;
    }
    AppendNormalized(text.substr(begin), result);
  }

  void AppendNormalized(std::string_view text, std::string& result) const {
    std::string normalized;
    icu::StringByteSink<std::string> sink(&normalized, static_cast<std::int32_t>(text.size()));
    UErrorCode error = U_ZERO_ERROR;
    form_->normalizeUTF8(0, Piece(text), sink, nullptr, error);
    result += U_FAILURE(error) ? text : std::string_view(normalized);
  }

  const icu::Normalizer2* form_;
};

class TextReplaceStep final : public Step {
 public:
  TextReplaceStep(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  std::string Apply(std::string text) const override {
    std::size_t found = text.find(pattern_);
    if (found == std::string::npos) return text;
    std::string result;
    result.reserve(text.size() + text.size() / 2);
    std::size_t done = 0;
    for (; found != std::string::npos; found = text.find(pattern_, done)) {
      result.append(text, done, found - done).append(content_);
      done = found + pattern_.size();
    }
    return result.append(text, done);
  }

 private:
  std::string pattern_;
  std::string content_;
};

class RegexReplaceStep final : public Step {
 public:
  RegexReplaceStep(Regex regex, std::string content)
      : regex_(std::move(regex)), content_(std::move(content)) {}

  std::string Apply(std::string text) const override {
    return ByParts(text, [&](std::string_view part, std::string& result) {
      Regex::Search search(regex_, part);
      std::size_t done = 0;
      while (const auto match = search.Next()) {
        result.append(part, done, match->begin - done).append(content_);
        done = match->end;
      }
      result.append(part, done);
    });
  }

 private:
  Regex regex_;
  std::string content_;
};

class TextPrependStep final : public Step {
 public:
  explicit TextPrependStep(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string Apply(std::string text) const override {
    return text.empty() ? text : text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

// Each character on its own, without regard to what stands beside it.
class LowercasingStep final : public Step {
 public:
  std::string Apply(std::string text) const override {
    return ByParts(text, [](std::string_view part, std::string& result) {
      for (std::size_t at = 0; at < part.size();) {
        const Utf8Character next = CharacterAt(part, at);
        Append(next.point, result);
        at += next.size;
      }
    });
  }

 private:
  static void Append(char32_t point, std::string& result) {
    if (point < 0x80) {
      const bool capital = point >= 'A' && point <= 'Z';
      result += static_cast<char>(capital ? point - 'A' + 'a' : point);
      return;
    }
    UChar from[2], to[8];
    std::int32_t size = 0;
    U16_APPEND_UNSAFE(from, size, static_cast<UChar32>(point));
    UErrorCode error = U_ZERO_ERROR;
    const std::int32_t made = u_strToLower(to, 8, from, size, "", &error);
    if (U_FAILURE(error)) return AppendUtf8(result, point);
    for (std::int32_t at = 0; at < made;) {
      UChar32 lower = 0;
      U16_NEXT(to, at, made, lower);
      AppendUtf8(result, static_cast<char32_t>(lower));
    }
  }
};

class SpaceStripStep final : public Step {
 public:
  explicit SpaceStripStep(StripStep sides) : sides_(sides) {}
  std::string Apply(std::string text) const override {
    std::size_t begin = 0, end = text.size();
    while (sides_.left && begin < end) {
      const Utf8Character next = CharacterAt(text, begin);
      if (!next.valid || !IsWhiteSpace(next.point)) break;
      begin += next.size;
    }
    while (sides_.right && end > begin) {
      std::size_t start = end - 1;
      while (start > begin && (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80) --start;
      const Utf8Character last = CharacterAt(std::string_view(text).substr(0, end), start);
      if (!last.valid || start + last.size != end || !IsWhiteSpace(last.point)) break;
      end = start;
    }
    return text.substr(begin, end - begin);
  }

 private:
  StripStep sides_;
};

class MarkStripStep final : public Step {
 public:
  std::string Apply(std::string text) const override {
    return ByParts(text, [](std::string_view part, std::string& result) {
      for (std::size_t at = 0; at < part.size();) {
        const Utf8Character next = CharacterAt(part, at);
        if (!IsMark(next.point) || !IsInUnicode9(next.point)) {
          result += part.substr(at, next.size);
        }
        at += next.size;
      }
    });
  }
};

// The most bytes that a byte may become, so that no file makes a short text fill the memory.
std::size_t Growth(const NormalizerStep& step) {
  const auto* replace = std::get_if<ReplaceStep>(&step);
  if (replace == nullptr) return 1;
  const std::size_t matched = replace->regex ? 0 : replace->pattern.size();
  return matched == 0 ? replace->content.size() + 1
                      : std::max<std::size_t>((replace->content.size() + matched - 1) / matched, 1);
}
constexpr std::size_t kMaxGrowth = 4096;
constexpr std::size_t kMaxSteps = 64;

base::Result<std::unique_ptr<const Step>> MakeStep(const NormalizerStep& step) {
  if (const auto* form = std::get_if<UnicodeForm>(&step)) {
    const icu::Normalizer2* found = FormOf(*form);
    if (found == nullptr) {
      return base::Fail(base::Code::kInternal, "ICU has no normalization data: install it again");
    }
    return std::make_unique<UnicodeFormStep>(found);
  }
  if (const auto* replace = std::get_if<ReplaceStep>(&step)) {
    if (!replace->regex && !replace->pattern.empty()) {
      return std::make_unique<TextReplaceStep>(replace->pattern, replace->content);
    }
    CLOISTER_ASSIGN_OR_RETURN(Regex regex, replace->regex ? Regex::Make(replace->pattern)
                                                          : Regex::Literal(replace->pattern));
    return std::make_unique<RegexReplaceStep>(std::move(regex), replace->content);
  }
  if (const auto* prepend = std::get_if<PrependStep>(&step)) {
    return std::make_unique<TextPrependStep>(prepend->text);
  }
  if (const auto* strip = std::get_if<StripStep>(&step)) {
    return std::make_unique<SpaceStripStep>(*strip);
  }
  if (std::holds_alternative<LowercaseStep>(step)) return std::make_unique<LowercasingStep>();
  return std::make_unique<MarkStripStep>();
}

}  // namespace

Normalizer::Normalizer() = default;
Normalizer::Normalizer(Normalizer&&) noexcept = default;
Normalizer& Normalizer::operator=(Normalizer&&) noexcept = default;
Normalizer::~Normalizer() = default;

base::Result<Normalizer> Normalizer::Make(const std::vector<NormalizerStep>& steps) {
  Normalizer made;
  std::size_t growth = 1;
  for (const NormalizerStep& step : steps) growth = std::min(growth * Growth(step), kMaxGrowth + 1);
  if (growth > kMaxGrowth || steps.size() > kMaxSteps) {
    return base::Fail(base::Code::kDataLoss,
                      "the tokenizer's normalizer has too many steps or makes text too long: fetch "
                      "the model again");
  }
  for (const NormalizerStep& step : steps) {
    CLOISTER_ASSIGN_OR_RETURN(auto next, MakeStep(step));
    made.steps_.push_back(std::move(next));
  }
  return made;
}

std::string Normalizer::Apply(std::string_view text) const {
  std::string result(text);
  for (const auto& step : steps_) result = step->Apply(std::move(result));
  return result;
}

}  // namespace cloister::model
