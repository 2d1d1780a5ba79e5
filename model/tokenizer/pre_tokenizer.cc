#include "model/tokenizer/pre_tokenizer.h"

#include <unicode/utf8.h>

#include <cstdint>
#include <span>

namespace cloister::model {
namespace {

// The published tokenizer.json of each model is the source of its pattern.
const std::string& Llama3Pattern() {
  static const std::string pattern =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
      R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  return pattern;
}

const std::string& Qwen2Pattern() {
  static const std::string pattern =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
      R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  return pattern;
}

struct Range {
  UChar32 first = 0;
  UChar32 last = 0;
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

void Append(std::string& text, UChar32 point) {
  char bytes[U8_MAX_LENGTH];
  std::int32_t size = 0;
  U8_APPEND_UNSAFE(bytes, size, point);
  text.append(bytes, static_cast<std::size_t>(size));
}

// "[a-bc-d]", written with the characters themselves as the models' files do.
std::string CharacterClass(std::span<const Range> ranges) {
  std::string text = "[";
  for (const Range& range : ranges) {
    Append(text, range.first);
    if (range.last == range.first) continue;
    text += "-";
    Append(text, range.last);
  }
  return text + "]";
}

const std::vector<PreTokenizer>& All() {
  static const std::vector<PreTokenizer> all = [] {
    const std::vector<std::string> digits_first = {SingleDigitPattern(), ByteLevelPattern()};
    return std::vector<PreTokenizer>{
        {"smollm", digits_first},
        {"starcoder", digits_first},
        {"refact", digits_first},
        {"command-r", digits_first},
        {"gpt-2", {ByteLevelPattern()}},
        {"llama-bpe", {Llama3Pattern()}, true, true},
        {"llama3", {Llama3Pattern()}, true, true},
        {"llama-v3", {Llama3Pattern()}, true, true},
        {"smaug-bpe", {Llama3Pattern()}},
        {"qwen2", {Qwen2Pattern()}},
        {"deepseek-llm",
         {"[\r\n]", "\\s?" + CharacterClass(kCasedLetters) + "+",
          "\\s?" + CharacterClass(kPunctuation) + "+", "\\s+$", CharacterClass(kIdeographs) + "+",
          "\\p{N}+"}},
    };
  }();
  return all;
}

}  // namespace

const std::string& ByteLevelPattern() {
  static const std::string pattern =
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  return pattern;
}

const std::string& SingleDigitPattern() {
  static const std::string pattern = R"(\p{N})";
  return pattern;
}

std::optional<PreTokenizer> FindPreTokenizer(std::string_view name) {
  for (const PreTokenizer& known : All()) {
    if (known.name == name) return known;
  }
  return std::nullopt;
}

std::optional<PreTokenizer> FindPreTokenizer(const std::vector<std::string>& patterns,
                                             bool ignore_merges) {
  for (const PreTokenizer& known : All()) {
    if (known.patterns == patterns && known.ignore_merges == ignore_merges) return known;
  }
  return std::nullopt;
}

}  // namespace cloister::model
