#include "model/tokenizer/pre_tokenizer.h"

#include <optional>
#include <utility>

#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/regex.h"
#include "model/tokenizer/split.h"
#include "model/tokenizer/text_scanner.h"
#include "model/tokenizer/unicode_categories.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {

// Takes UTF-8 and passes its pieces on.
class PreTokenizer::Step {
 public:
  virtual ~Step() = default;
  virtual void Cut(std::string_view text, bool begins, PieceSink& next) const = 0;
};

namespace {

using Step = PreTokenizer::Step;
using StepPointer = std::unique_ptr<const Step>;

class ScanStep final : public Step {
 public:
  explicit ScanStep(KnownPattern pattern) : pattern_(pattern) {}
  void Cut(std::string_view text, bool begins, PieceSink& next) const override {
    Scan(pattern_, text, begins, next);
  }

 private:
  KnownPattern pattern_;
};

class RegexStep final : public Step {
 public:
  RegexStep(Regex regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}
  void Cut(std::string_view text, bool begins, PieceSink& next) const override {
    Splitter splitter(text, begins, behavior_, invert_, next);
    Regex::Search search(regex_, text);
    while (const auto match = search.Next()) splitter.Match(match->begin, match->end);
    splitter.Finish();
  }

 private:
  Regex regex_;
  SplitBehavior behavior_;
  bool invert_;
};

class PredicateStep final : public Step {
 public:
  PredicateStep(bool (*matches)(char32_t), SplitBehavior behavior)
      : matches_(matches), behavior_(behavior) {}
  void Cut(std::string_view text, bool begins, PieceSink& next) const override {
    Splitter splitter(text, begins, behavior_, false, next);
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Character character = CharacterAt(text, at);
      if (matches_(character.point)) splitter.Match(at, at + character.size);
      at += character.size;
    }
    splitter.Finish();
  }

 private:
  bool (*matches_)(char32_t);
  SplitBehavior behavior_;
};

class PrefixSpaceStep final : public Step {
 public:
  void Cut(std::string_view text, bool begins, PieceSink& next) const override {
    if (text.starts_with(' ')) return next.Add(text, begins);
    next.Add(" " + std::string(text), begins);
  }
};

class AlphabetStep final : public Step {
 public:
  void Cut(std::string_view text, bool begins, PieceSink& next) const override {
    std::string written;
    for (const char c : text) written += ByteToPiece(static_cast<std::uint8_t>(c));
    next.Add(written, begins);
  }
};

class SpaceReplacingStep final : public Step {
 public:
  explicit SpaceReplacingStep(MetaspaceStep step) : step_(std::move(step)) {}
  void Cut(std::string_view text, bool begins, PieceSink& next) const override {
    const std::string& mark = step_.replacement;
    const bool starts = text.starts_with(' ') || text.starts_with(mark);
    const bool wanted = step_.prepend == PrependScheme::kAlways ||
                        (step_.prepend == PrependScheme::kFirst && begins);
    std::string written = wanted && !starts ? mark : std::string();
    written.reserve(text.size() + text.size() / 4 + mark.size());
    for (const char c : text) c == ' ' ? written += mark : written += c;
    if (!step_.split) return next.Add(written, begins);
    Splitter splitter(written, begins, SplitBehavior::kMergedWithNext, false, next);
    for (std::size_t at = written.find(mark); at != std::string::npos;
         at = written.find(mark, at + mark.size())) {
      splitter.Match(at, at + mark.size());
    }
    splitter.Finish();
  }

 private:
  MetaspaceStep step_;
};

// Hands the pieces of one step to the next.
class Link final : public PieceSink {
 public:
  Link(const Step& step, PieceSink& next) : step_(step), next_(next) {}
  void Add(std::string_view piece, bool begins) override { step_.Cut(piece, begins, next_); }

 private:
  const Step& step_;
  PieceSink& next_;
};

base::Result<StepPointer> SplitBy(const std::string& pattern, bool regex, SplitBehavior behavior,
                                  bool invert) {
  if (regex && behavior == SplitBehavior::kIsolated) {
    if (const auto known = FindKnownPattern(pattern)) return std::make_unique<ScanStep>(*known);
  }
  CLOISTER_ASSIGN_OR_RETURN(Regex made, regex ? Regex::Make(pattern) : Regex::Literal(pattern));
  return std::make_unique<RegexStep>(std::move(made), behavior, invert);
}

}  // namespace

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

base::Result<PreTokenizer> PreTokenizer::Make(const std::vector<PreTokenizerStep>& steps,
                                              bool reads_bytes) {
  PreTokenizer made;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto add = [&](base::Result<StepPointer> step) -> base::Status {
      if (!step) return base::Forward(std::move(step));
      made.steps_.push_back(*std::move(step));
      return {};
    };
    base::Status status;
    if (const auto* split = std::get_if<SplitStep>(&steps[i])) {
      status = add(SplitBy(split->pattern, split->regex, split->behavior, split->invert));
    } else if (const auto* digits = std::get_if<DigitsStep>(&steps[i])) {
      if (digits->individual) {
        status = add(std::make_unique<ScanStep>(KnownPattern::kNumber));
      } else {
        status = add(std::make_unique<PredicateStep>(IsNumber, SplitBehavior::kContiguous));
      }
    } else if (const auto* bytes = std::get_if<ByteLevelStep>(&steps[i])) {
      if (bytes->add_prefix_space) made.steps_.push_back(std::make_unique<PrefixSpaceStep>());
      if (bytes->use_regex) made.steps_.push_back(std::make_unique<ScanStep>(KnownPattern::kGpt2));
      made.byte_level_ = reads_bytes && i + 1 == steps.size();
      if (!made.byte_level_) made.steps_.push_back(std::make_unique<AlphabetStep>());
    } else if (const auto* space = std::get_if<MetaspaceStep>(&steps[i])) {
      made.steps_.push_back(std::make_unique<SpaceReplacingStep>(*space));
    } else if (const auto* punctuation = std::get_if<PunctuationStep>(&steps[i])) {
      status = add(std::make_unique<PredicateStep>(IsPunctuation, punctuation->behavior));
    } else if (std::holds_alternative<WhitespaceStep>(steps[i])) {
      status = add(SplitBy(R"([\w\u200c\u200d]+|[^\w\s\u200c\u200d]+)", true,
                           SplitBehavior::kRemoved, true));
    } else if (std::holds_alternative<WhitespaceSplitStep>(steps[i])) {
      status = add(std::make_unique<PredicateStep>(IsWhiteSpace, SplitBehavior::kRemoved));
    } else if (const auto* delimiter = std::get_if<DelimiterStep>(&steps[i])) {
      status = add(SplitBy(delimiter->delimiter, false, SplitBehavior::kRemoved, false));
    }
    CLOISTER_RETURN_IF_ERROR(std::move(status));
  }
  return made;
}

void PreTokenizer::Cut(std::string_view text, bool begins, PieceSink& sink) const {
  if (text.empty()) return;
  if (steps_.empty()) return sink.Add(text, begins);
  std::vector<Link> links;
  links.reserve(steps_.size());
  for (std::size_t i = steps_.size(); i > 0; --i) {
    links.emplace_back(*steps_[i - 1], links.empty() ? sink : links.back());
  }
  for (std::size_t done = 0; done < text.size();) {
    const std::size_t good = done + Utf8Prefix(text.substr(done));
    if (good > done) links.back().Add(text.substr(done, good - done), begins && done == 0);
    std::size_t bad = good;
    while (bad < text.size()) {
      const Utf8Character next = CharacterAt(text, bad);
      if (next.valid) break;
      bad += next.size;
    }
    if (bad > good) sink.Add(text.substr(good, bad - good), begins && good == 0);
    done = bad;
  }
}

}  // namespace cloister::model
