#include "model/tokenizer/named_pre_tokenizers.h"

#include <array>
#include <span>
#include <utility>

#include "model/tokenizer/text_scanner.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

struct Range {
  char32_t first = 0;
  char32_t last = 0;
};

// Letters that have case, as DeepSeek LLM's tokenizer.json lists them.
constexpr Range kCasedLetters[] = {
    {0x41, 0x5a},       {0x61, 0x7a},       {0xb5, 0xb5},       {0xc0, 0xd6},
    {0xd8, 0xf6},       {0xf8, 0x1ba},      {0x1bc, 0x1bf},     {0x1c4, 0x293},
    {0x295, 0x2af},     {0x370, 0x373},     {0x376, 0x376},     {0x377, 0x377},
    {0x37b, 0x37d},     {0x37f, 0x37f},     {0x386, 0x386},     {0x388, 0x38a},
    {0x38c, 0x38c},     {0x38e, 0x3a1},     {0x3a3, 0x3f5},     {0x3f7, 0x481},
    {0x48a, 0x52f},     {0x531, 0x556},     {0x10a0, 0x10c5},   {0x13a0, 0x13f5},
    {0x13f8, 0x13fd},   {0x1c90, 0x1cba},   {0x1cbd, 0x1cbf},   {0x1d00, 0x1d2b},
    {0x1d6b, 0x1d77},   {0x1d79, 0x1d9a},   {0x1e00, 0x1f15},   {0x1f18, 0x1f1d},
    {0x1f20, 0x1f45},   {0x1f48, 0x1f4d},   {0x1f50, 0x1f57},   {0x1f59, 0x1f59},
    {0x1f5b, 0x1f5b},   {0x1f5d, 0x1f5d},   {0x1f5f, 0x1f7d},   {0x1f80, 0x1fb4},
    {0x1fb6, 0x1fbc},   {0x1fbe, 0x1fbe},   {0x1fc2, 0x1fc4},   {0x1fc6, 0x1fcc},
    {0x1fd0, 0x1fd3},   {0x1fd6, 0x1fdb},   {0x1fe0, 0x1fec},   {0x1ff2, 0x1ff4},
    {0x1ff6, 0x1ffc},   {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210a, 0x2113},
    {0x2115, 0x2115},   {0x2119, 0x211d},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212a, 0x212d},   {0x212f, 0x2134},   {0x2139, 0x2139},
    {0x213c, 0x213f},   {0x2145, 0x2149},   {0x214e, 0x214e},   {0x2183, 0x2183},
    {0x2184, 0x2184},   {0x2c00, 0x2c7b},   {0x2c7e, 0x2ce4},   {0x2ceb, 0x2cee},
    {0x2cf2, 0x2cf2},   {0x2cf3, 0x2cf3},   {0xa640, 0xa66d},   {0xa680, 0xa69b},
    {0xa722, 0xa76f},   {0xa771, 0xa787},   {0xa78b, 0xa78e},   {0xab70, 0xabbf},
    {0xfb00, 0xfb06},   {0xfb13, 0xfb17},   {0xff21, 0xff3a},   {0xff41, 0xff5a},
    {0x10400, 0x1044f}, {0x104b0, 0x104d3}, {0x104d8, 0x104fb}, {0x10c80, 0x10cb2},
    {0x10cc0, 0x10cf2}, {0x118a0, 0x118df}, {0x1e900, 0x1e943}};
// Its punctuation: ASCII's, the full-width forms, general quotation marks, the ideographic stop.
constexpr Range kPunctuation[] = {{0x21, 0x2f},     {0x3a, 0x7e},     {0xff01, 0xff0f},
                                  {0xff1a, 0xff5e}, {0x2018, 0x201f}, {0x3000, 0x3002}};
// And its ideographs, syllables and what lies between.
constexpr Range kIdeographs[] = {{0x4e00, 0x9fa5}, {0x800, 0x4e00}, {0xac00, 0xd7ff}};
// Of DeepSeek V3: ideographs, hiragana, katakana.
constexpr Range kIdeographsAndKana[] = {{0x4e00, 0x9fa5}, {0x3040, 0x309f}, {0x30a0, 0x30ff}};

// "[a-bc-d]", written with the characters themselves as the models' files do.
std::string ClassPattern(std::span<const Range> ranges) {
  std::string text = "[";
  for (const Range& range : ranges) {
    AppendUtf8(text, range.first);
    if (range.last == range.first) continue;
    text += "-";
    AppendUtf8(text, range.last);
  }
  return text + "]";
}

using Steps = std::vector<PreTokenizerStep>;

// Each pattern's matches are pieces of their own; then bytes become letters.
Steps Isolated(const std::vector<std::string>& patterns) {
  Steps steps;
  for (const std::string& pattern : patterns) steps.emplace_back(SplitStep{pattern});
  steps.emplace_back(ByteLevelStep{false, false});
  return steps;
}

Steps Gpt2() { return {ByteLevelStep{false, true}}; }
Steps DigitsThenGpt2() { return {DigitsStep{true}, ByteLevelStep{false, true}}; }

Steps DeepSeekLlm(const std::string& digits) {
  return Isolated({"[\r\n]", "\\s?" + ClassPattern(kCasedLetters) + "+",
                   "\\s?" + ClassPattern(kPunctuation) + "+", "\\s+$",
                   ClassPattern(kIdeographs) + "+", digits});
}

Steps DeepSeekCoder() {
  return Isolated(
      {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", ClassPattern(kIdeographs) + "+", "\\p{N}"});
}

Steps DeepSeekV3() {
  return Isolated({"\\p{N}{1,3}", ClassPattern(kIdeographsAndKana) + "+",
                   R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|)"
                   "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|"
                   "\\s*[\r\n]+|\\s+(?!\\S)|\\s+"});
}

Steps Qwen35() {
  return Isolated({R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
                   R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"});
}

// Words that end in lower case or are all upper case, `ending` behind each.
std::string CasedWords(const std::string& ending) {
  const std::string lead = R"([^\r\n\p{L}\p{N}]?)";
  const std::string upper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])";
  const std::string lower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
  return lead + upper + "*" + lower + "+" + ending + "|" + lead + upper + "+" + lower + "*" +
         ending;
}

constexpr char kSymbolsAndSpaces[] = R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Steps Tekken() { return Isolated({CasedWords("") + R"(|\p{N})" + kSymbolsAndSpaces}); }

Steps Gpt4o() {
  return Isolated(
      {CasedWords("(?i:'s|'t|'re|'ve|'m|'ll|'d)?") + R"(|\p{N}{1,3})" + kSymbolsAndSpaces});
}

// What llama.cpp takes where a file names none.
Steps Default() {
  return Isolated(
      {R"([\p{P}\$\+<=>\^~\|]+)", std::string(Gpt2Pattern()), R"(\p{N}+)", "[0-9][0-9][0-9]"});
}

Steps Falcon() {
  return Isolated({R"([\p{P}\$\+<=>\^~\|`]+)", std::string(Gpt2Pattern()), "[0-9][0-9][0-9]"});
}

std::vector<NamedPreTokenizer> MakeAll() {
  std::vector<NamedPreTokenizer> all;
  const auto add = [&](std::initializer_list<const char*> names, const Steps& steps,
                       bool ignore_merges = false, bool adds_bos = false) {
    for (const char* name : names) all.push_back({name, steps, ignore_merges, adds_bos});
  };
  const Steps llama3 = Isolated({std::string(Llama3Pattern())});
  // The first name of steps is the one that is written.
  add({"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "mellum",
       "gigachat", "a.x-4.0", "modern-bert", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de"},
      Gpt2());
  add({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
       "mellum2"},
      DigitsThenGpt2());
  add({"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
       "jina-v5-nano"},
      llama3, true, true);
  add({"smaug-bpe", "dbrx", "chatglm-bpe"}, llama3);
  add({"glm4", "glm5"}, llama3, true);
  add({"qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan", "solar-open", "grok-2",
       "kormo", "f2llmv2"},
      Isolated({std::string(Qwen2Pattern())}));
  add({"qwen35"}, Qwen35());
  add({"deepseek-llm"}, DeepSeekLlm("\\p{N}+"));
  add({"deepseek-llm"}, DeepSeekLlm("\\p{N}"));  // as some conversions of the model write it
  add({"deepseek-coder"}, DeepSeekCoder());
  add({"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"}, DeepSeekV3());
  add({"tekken"}, Tekken(), true, true);
  add({"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, Gpt4o());
  add({"falcon"}, Falcon());
  add({"default"}, Default());
  return all;
}

const std::vector<NamedPreTokenizer>& All() {
  static const std::vector<NamedPreTokenizer> all = MakeAll();
  return all;
}

// The same steps in one spelling, for comparison.
Steps Canonical(const Steps& steps) {
  Steps same;
  for (const PreTokenizerStep& step : steps) {
    if (const auto* digits = std::get_if<DigitsStep>(&step)) {
      same.emplace_back(SplitStep{digits->individual ? R"(\p{N})" : R"(\p{N}+)"});
    } else if (const auto* bytes = std::get_if<ByteLevelStep>(&step); bytes && bytes->use_regex) {
      if (bytes->add_prefix_space) return steps;
      same.emplace_back(SplitStep{std::string(Gpt2Pattern())});
      same.emplace_back(ByteLevelStep{false, false});
    } else if (const auto* split = std::get_if<SplitStep>(&step)) {
      // Of these patterns no text lies between the matches.
      const auto known = split->regex ? FindKnownPattern(split->pattern) : std::nullopt;
      const bool covers = known == KnownPattern::kGpt2 || known == KnownPattern::kLlama3 ||
                          known == KnownPattern::kQwen2;
      const bool inverted = split->behavior == SplitBehavior::kRemoved && split->invert;
      same.push_back(covers && inverted ? SplitStep{split->pattern} : *split);
    } else {
      same.push_back(step);
    }
  }
  return same;
}

}  // namespace

const NamedPreTokenizer* FindPreTokenizer(std::string_view name) {
  for (const NamedPreTokenizer& known : All()) {
    if (known.name == name) return &known;
  }
  return nullptr;
}

const NamedPreTokenizer* FindPreTokenizer(const std::vector<PreTokenizerStep>& steps,
                                          bool ignore_merges) {
  const Steps wanted = Canonical(steps);
  for (const NamedPreTokenizer& known : All()) {
    if (known.ignore_merges == ignore_merges && Canonical(known.steps) == wanted) return &known;
  }
  return nullptr;
}

std::vector<std::string> PreTokenizerNames() {
  std::vector<std::string> names;
  for (const NamedPreTokenizer& known : All()) {
    if (names.empty() || names.back() != known.name) names.push_back(known.name);
  }
  return names;
}

}  // namespace cloister::model
