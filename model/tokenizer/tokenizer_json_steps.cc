#include "model/tokenizer/tokenizer_json_steps.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "model/config/json_reader.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

constexpr int kMaxDepth = 8;  // of sequences within sequences
constexpr std::size_t kMaxSteps = 64;

tl::unexpected<base::Error> NotBuilt(const std::string& what) {
  return base::Fail(Code::kUnimplemented,
                    what + " is not supported: use a model with another tokenizer");
}

// Calls `read` on the part, or on each one of a Sequence, which lists them under `list`.
using ReadOne = std::function<base::Status(const json&, const std::string& type)>;
base::Status ForEachStep(const json& part, const char* list, const ReadOne& read, int depth = 0) {
  if (part.is_null()) return {};
  const std::string type = TypeOf(part);
  if (type != "Sequence") return read(part, type);
  const auto steps = part.find(list);
  if (steps == part.end() || !steps->is_array() || steps->size() > kMaxSteps ||
      depth >= kMaxDepth) {
    return base::Fail(Code::kDataLoss,
                      std::string("a Sequence has no list ") + list + ", or too long a one");
  }
  for (const json& step : *steps) {
    CLOISTER_RETURN_IF_ERROR(ForEachStep(step, list, read, depth + 1));
  }
  return {};
}

template <typename T>
base::Status Check(const std::vector<T>& steps) {
  if (steps.size() <= kMaxSteps) return {};
  return base::Fail(Code::kDataLoss, "the tokenizer has too many steps: fetch the model again");
}

struct PatternField {
  std::string text;
  bool regex = false;
};
base::Result<PatternField> Pattern(const json& part, const std::string& type) {
  const auto pattern = part.find("pattern");
  if (pattern != part.end() && pattern->is_object()) {
    CLOISTER_ASSIGN_OR_RETURN(auto regex, OptionalString(*pattern, "Regex"));
    if (regex) return PatternField{*std::move(regex), true};
    CLOISTER_ASSIGN_OR_RETURN(auto text, OptionalString(*pattern, "String"));
    if (text) return PatternField{*std::move(text), false};
  }
  return base::Fail(Code::kDataLoss, type + " has no pattern");
}

// A field that holds one character.
base::Result<std::string> Character(const json& part, const std::string& name) {
  CLOISTER_ASSIGN_OR_RETURN(std::string text, RequiredString(part, name));
  if (!IsOneCharacter(text)) {
    return base::Fail(Code::kDataLoss, "field " + name + " must be one character");
  }
  return text;
}

constexpr std::array<std::pair<const char*, SplitBehavior>, 5> kBehaviors = {{
    {"Removed", SplitBehavior::kRemoved},
    {"Isolated", SplitBehavior::kIsolated},
    {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
    {"MergedWithNext", SplitBehavior::kMergedWithNext},
    {"Contiguous", SplitBehavior::kContiguous},
}};

base::Result<SplitBehavior> Behavior(const json& part, std::optional<SplitBehavior> otherwise) {
  CLOISTER_ASSIGN_OR_RETURN(const auto name, OptionalString(part, "behavior"));
  if (!name && otherwise) return *otherwise;
  for (const auto& [known, behavior] : kBehaviors) {
    if (name == known) return behavior;
  }
  return NotBuilt("behavior '" + name.value_or("") + "' of pre_tokenizer " + TypeOf(part));
}

base::Result<PreTokenizerStep> Metaspace(const json& part) {
  MetaspaceStep step;
  CLOISTER_ASSIGN_OR_RETURN(step.replacement, Character(part, "replacement"));
  CLOISTER_ASSIGN_OR_RETURN(const auto split, OptionalBool(part, "split"));
  step.split = split.value_or(true);
  CLOISTER_ASSIGN_OR_RETURN(const auto scheme, OptionalString(part, "prepend_scheme"));
  CLOISTER_ASSIGN_OR_RETURN(const auto prefix, OptionalBool(part, "add_prefix_space"));
  if (scheme == "first") {
    step.prepend = PrependScheme::kFirst;
  } else if (scheme == "never" || (!scheme && prefix == false)) {
    step.prepend = PrependScheme::kNever;
  } else if (scheme && scheme != "always") {
    return NotBuilt("prepend_scheme '" + *scheme + "' of Metaspace");
  }
  return step;
}

base::Result<PreTokenizerStep> ReadPreTokenizerStep(const json& part, const std::string& type) {
  if (type == "Split") {
    SplitStep step;
    CLOISTER_ASSIGN_OR_RETURN(PatternField pattern, Pattern(part, type));
    step.pattern = std::move(pattern.text);
    step.regex = pattern.regex;
    CLOISTER_ASSIGN_OR_RETURN(step.behavior, Behavior(part, std::nullopt));
    CLOISTER_ASSIGN_OR_RETURN(const auto invert, OptionalBool(part, "invert"));
    step.invert = invert.value_or(false);
    return step;
  }
  if (type == "Digits") {
    CLOISTER_ASSIGN_OR_RETURN(const auto individual, OptionalBool(part, "individual_digits"));
    return DigitsStep{individual.value_or(false)};
  }
  if (type == "ByteLevel") {
    CLOISTER_ASSIGN_OR_RETURN(const auto space, OptionalBool(part, "add_prefix_space"));
    CLOISTER_ASSIGN_OR_RETURN(const auto regex, OptionalBool(part, "use_regex"));
    return ByteLevelStep{space.value_or(true), regex.value_or(true)};
  }
  if (type == "Metaspace") return Metaspace(part);
  if (type == "Punctuation") {
    CLOISTER_ASSIGN_OR_RETURN(const SplitBehavior behavior,
                              Behavior(part, SplitBehavior::kIsolated));
    return PunctuationStep{behavior};
  }
  if (type == "Whitespace") return WhitespaceStep{};
  if (type == "WhitespaceSplit") return WhitespaceSplitStep{};
  if (type == "CharDelimiterSplit") {
    CLOISTER_ASSIGN_OR_RETURN(std::string delimiter, Character(part, "delimiter"));
    return DelimiterStep{std::move(delimiter)};
  }
  return NotBuilt("pre_tokenizer '" + type + "'");
}

base::Result<NormalizerStep> ReadNormalizerStep(const json& part, const std::string& type) {
  if (type == "NFC") return UnicodeForm::kNfc;
  if (type == "NFD") return UnicodeForm::kNfd;
  if (type == "NFKC") return UnicodeForm::kNfkc;
  if (type == "NFKD") return UnicodeForm::kNfkd;
  if (type == "Lowercase") return LowercaseStep{};
  if (type == "StripAccents") return StripAccentsStep{};
  if (type == "Strip") {
    CLOISTER_ASSIGN_OR_RETURN(const auto left, OptionalBool(part, "strip_left"));
    CLOISTER_ASSIGN_OR_RETURN(const auto right, OptionalBool(part, "strip_right"));
    return StripStep{left.value_or(true), right.value_or(true)};
  }
  if (type == "Prepend") {
    CLOISTER_ASSIGN_OR_RETURN(std::string text, RequiredString(part, "prepend"));
    return PrependStep{std::move(text)};
  }
  if (type == "Replace") {
    CLOISTER_ASSIGN_OR_RETURN(PatternField pattern, Pattern(part, type));
    CLOISTER_ASSIGN_OR_RETURN(std::string content, RequiredString(part, "content"));
    return ReplaceStep{std::move(pattern.text), pattern.regex, std::move(content)};
  }
  return NotBuilt("normalizer '" + type + "'");
}

base::Result<DecoderStep> ReadDecoderStep(const json& part, const std::string& type) {
  if (type == "ByteLevel") return ByteLevelDecoding{};
  if (type == "ByteFallback") return ByteFallbackDecoding{};
  if (type == "Fuse") return FuseDecoding{};
  if (type == "Metaspace") {
    CLOISTER_ASSIGN_OR_RETURN(const PreTokenizerStep step, Metaspace(part));
    const auto& space = std::get<MetaspaceStep>(step);
    return MetaspaceDecoding{space.replacement, space.prepend != PrependScheme::kNever};
  }
  if (type == "Strip") {
    StripDecoding strip;
    CLOISTER_ASSIGN_OR_RETURN(strip.content, Character(part, "content"));
    CLOISTER_ASSIGN_OR_RETURN(const std::int64_t start, RequiredInteger(part, "start"));
    CLOISTER_ASSIGN_OR_RETURN(const std::int64_t stop, RequiredInteger(part, "stop"));
    if (start < 0 || stop < 0) {
      return base::Fail(Code::kDataLoss, "decoder Strip has a negative count");
    }
    strip.start = static_cast<std::size_t>(start);
    strip.stop = static_cast<std::size_t>(stop);
    return strip;
  }
  if (type == "Replace") {
    CLOISTER_ASSIGN_OR_RETURN(PatternField pattern, Pattern(part, type));
    CLOISTER_ASSIGN_OR_RETURN(std::string content, RequiredString(part, "content"));
    return ReplaceStep{std::move(pattern.text), pattern.regex, std::move(content)};
  }
  return NotBuilt("decoder '" + type + "'");
}

template <typename Step, typename Read>
base::Result<std::vector<Step>> ReadSteps(const json& part, const char* list, const Read& read) {
  std::vector<Step> steps;
  CLOISTER_RETURN_IF_ERROR(
      ForEachStep(part, list, [&](const json& one, const std::string& type) -> base::Status {
        CLOISTER_ASSIGN_OR_RETURN(Step step, read(one, type));
        steps.push_back(std::move(step));
        return Check(steps);
      }));
  return steps;
}

}  // namespace

std::string TypeOf(const json& part) {
  if (!part.is_object()) return "unknown";
  const auto found = part.find("type");
  return found != part.end() && found->is_string() ? found->get<std::string>() : "unknown";
}

base::Result<std::vector<NormalizerStep>> ReadNormalizer(const json& part) {
  return ReadSteps<NormalizerStep>(part, "normalizers", ReadNormalizerStep);
}

base::Result<std::vector<PreTokenizerStep>> ReadPreTokenizer(const json& part) {
  return ReadSteps<PreTokenizerStep>(part, "pretokenizers", ReadPreTokenizerStep);
}

base::Result<std::vector<DecoderStep>> ReadDecoder(const json& part) {
  auto steps = ReadSteps<DecoderStep>(part, "decoders", ReadDecoderStep);
  // Only where there is no decoder at all are tokens joined by spaces.
  if (steps && steps->empty() && !part.is_null()) steps->emplace_back(FuseDecoding{});
  return steps;
}

}  // namespace cloister::model
