#include <string>

#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/tokenizer_json.h"

namespace cloister::model {
namespace {

using nlohmann::ordered_json;

ordered_json ByteLevel(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

// The steps that cut by `patterns`, in the spelling of the models' own files where there is one.
ordered_json PreTokenizerJson(const std::vector<std::string>& patterns) {
  ordered_json steps = ordered_json::array();
  bool built_in = false;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    built_in = i + 1 == patterns.size() && patterns[i] == ByteLevelPattern();
    if (built_in) break;
    if (patterns[i] == SingleDigitPattern()) {
      steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
    } else {
      steps.push_back({{"type", "Split"},
                       {"pattern", {{"Regex", patterns[i]}}},
                       {"behavior", "Isolated"},
                       {"invert", false}});
    }
  }
  if (steps.empty()) return ByteLevel(built_in);
  steps.push_back(ByteLevel(built_in));
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

ordered_json PostProcessorJson(const TokenizerData& data) {
  if (!data.adds_bos || !data.bos) {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", false},
            {"use_regex", true}};
  }
  const std::string& bos = data.pieces[static_cast<std::size_t>(*data.bos)];
  const ordered_json start = {{"SpecialToken", {{"id", bos}, {"type_id", 0}}}};
  const auto text = [](const char* id, int type) {
    return ordered_json({{"Sequence", {{"id", id}, {"type_id", type}}}});
  };
  const ordered_json tokens = {{"id", bos},
                               {"ids", ordered_json::array({*data.bos})},
                               {"tokens", ordered_json::array({bos})}};
  return {{"type", "TemplateProcessing"},
          {"single", ordered_json::array({start, text("A", 0)})},
          {"pair", ordered_json::array({start, text("A", 0), text("B", 1)})},
          {"special_tokens", ordered_json({{bos, tokens}})}};
}

// A special token's text, or null.
ordered_json PieceOrNull(const TokenizerData& data, const std::optional<TokenId>& id) {
  if (!id || static_cast<std::size_t>(*id) >= data.pieces.size()) return nullptr;
  return data.pieces[static_cast<std::size_t>(*id)];
}

}  // namespace

base::Result<ordered_json> TokenizerJson(const TokenizerData& data) {
  ordered_json vocabulary = ordered_json::object();
  auto& entries = vocabulary.get_ref<ordered_json::object_t&>();
  ordered_json added = ordered_json::array();
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    const TokenKind kind = data.kinds[id];
    if (kind == TokenKind::kUnused) continue;
    // Straight into the list of pairs: the checked insertion searches the list each time.
    entries.push_back({data.pieces[id], id});
    if (kind == TokenKind::kNormal) continue;
    added.push_back({{"id", id},
                     {"content", data.pieces[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", kind == TokenKind::kControl}});
  }
  ordered_json normalizer;
  if (data.normalize_nfc) normalizer = {{"type", "NFC"}};
  return ordered_json{{"version", "1.0"},
                      {"truncation", nullptr},
                      {"padding", nullptr},
                      {"added_tokens", std::move(added)},
                      {"normalizer", normalizer},
                      {"pre_tokenizer", PreTokenizerJson(data.split_patterns)},
                      {"post_processor", PostProcessorJson(data)},
                      {"decoder", ByteLevel(true)},
                      {"model",
                       {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"ignore_merges", data.ignore_merges},
                        {"vocab", std::move(vocabulary)},
                        {"merges", data.merges}}}};
}

ordered_json TokenizerConfigJson(const TokenizerData& data, const std::string& chat_template) {
  ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                         {"add_prefix_space", false},
                         {"add_bos_token", data.adds_bos},
                         {"clean_up_tokenization_spaces", false},
                         {"bos_token", PieceOrNull(data, data.bos)},
                         {"eos_token", PieceOrNull(data, data.eos)},
                         {"unk_token", PieceOrNull(data, data.unknown)},
                         {"pad_token", PieceOrNull(data, data.padding)}};
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  return config;
}

}  // namespace cloister::model
