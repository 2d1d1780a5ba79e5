#include <array>
#include <string>

#include "model/tokenizer/tokenizer_json_steps.h"

namespace cloister::model {
namespace {

using nlohmann::ordered_json;

ordered_json PatternJson(const std::string& pattern, bool regex) {
  return {{regex ? "Regex" : "String", pattern}};
}

const char* NameOf(SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      return "Removed";
    case SplitBehavior::kIsolated:
      return "Isolated";
    case SplitBehavior::kMergedWithPrevious:
      return "MergedWithPrevious";
    case SplitBehavior::kMergedWithNext:
      return "MergedWithNext";
    case SplitBehavior::kContiguous:
      return "Contiguous";
  }
  return "Isolated";
}

const char* NameOf(PrependScheme scheme) {
  switch (scheme) {
    case PrependScheme::kAlways:
      return "always";
    case PrependScheme::kFirst:
      return "first";
    case PrependScheme::kNever:
      return "never";
  }
  return "always";
}

ordered_json ReplaceJson(const ReplaceStep& step) {
  return {{"type", "Replace"},
          {"pattern", PatternJson(step.pattern, step.regex)},
          {"content", step.content}};
}

struct WriteStep {
  ordered_json operator()(const SplitStep& step) const {
    return {{"type", "Split"},
            {"pattern", PatternJson(step.pattern, step.regex)},
            {"behavior", NameOf(step.behavior)},
            {"invert", step.invert}};
  }
  ordered_json operator()(const DigitsStep& step) const {
    return {{"type", "Digits"}, {"individual_digits", step.individual}};
  }
  ordered_json operator()(const ByteLevelStep& step) const {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", step.add_prefix_space},
            {"trim_offsets", true},
            {"use_regex", step.use_regex}};
  }
  ordered_json operator()(const MetaspaceStep& step) const {
    return {{"type", "Metaspace"},
            {"replacement", step.replacement},
            {"prepend_scheme", NameOf(step.prepend)},
            {"split", step.split}};
  }
  ordered_json operator()(const PunctuationStep& step) const {
    return {{"type", "Punctuation"}, {"behavior", NameOf(step.behavior)}};
  }
  ordered_json operator()(const WhitespaceStep&) const { return {{"type", "Whitespace"}}; }
  ordered_json operator()(const WhitespaceSplitStep&) const {
    return {{"type", "WhitespaceSplit"}};
  }
  ordered_json operator()(const DelimiterStep& step) const {
    return {{"type", "CharDelimiterSplit"}, {"delimiter", step.delimiter}};
  }

  ordered_json operator()(UnicodeForm form) const {
    static constexpr std::array<const char*, 4> kNames = {"NFC", "NFD", "NFKC", "NFKD"};
    return {{"type", kNames[static_cast<std::size_t>(form)]}};
  }
  ordered_json operator()(const ReplaceStep& step) const { return ReplaceJson(step); }
  ordered_json operator()(const PrependStep& step) const {
    return {{"type", "Prepend"}, {"prepend", step.text}};
  }
  ordered_json operator()(const LowercaseStep&) const { return {{"type", "Lowercase"}}; }
  ordered_json operator()(const StripStep& step) const {
    return {{"type", "Strip"}, {"strip_left", step.left}, {"strip_right", step.right}};
  }
  ordered_json operator()(const StripAccentsStep&) const { return {{"type", "StripAccents"}}; }

  ordered_json operator()(const ByteLevelDecoding&) const {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", true},
            {"use_regex", true}};
  }
  ordered_json operator()(const ByteFallbackDecoding&) const { return {{"type", "ByteFallback"}}; }
  ordered_json operator()(const FuseDecoding&) const { return {{"type", "Fuse"}}; }
  ordered_json operator()(const StripDecoding& step) const {
    return {
        {"type", "Strip"}, {"content", step.content}, {"start", step.start}, {"stop", step.stop}};
  }
  ordered_json operator()(const MetaspaceDecoding& step) const {
    return {{"type", "Metaspace"},
            {"replacement", step.replacement},
            {"prepend_scheme", step.strips_first ? "always" : "never"},
            {"split", true}};
  }
};

// One step as it is, several as a Sequence.
template <typename Step>
ordered_json StepsJson(const std::vector<Step>& steps, const char* list) {
  if (steps.empty()) return nullptr;
  if (steps.size() == 1) return std::visit(WriteStep(), steps[0]);
  ordered_json all = ordered_json::array();
  for (const Step& step : steps) all.push_back(std::visit(WriteStep(), step));
  return {{"type", "Sequence"}, {list, std::move(all)}};
}

}  // namespace

ordered_json NormalizerJson(const std::vector<NormalizerStep>& steps) {
  return StepsJson(steps, "normalizers");
}
ordered_json PreTokenizerJson(const std::vector<PreTokenizerStep>& steps) {
  return StepsJson(steps, "pretokenizers");
}
ordered_json DecoderJson(const std::vector<DecoderStep>& steps) {
  return StepsJson(steps, "decoders");
}

}  // namespace cloister::model
