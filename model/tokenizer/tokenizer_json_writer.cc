#include <algorithm>
#include <set>
#include <string>
#include <unordered_set>

#include "model/tokenizer/merges_from_scores.h"
#include "model/tokenizer/tokenizer_json.h"
#include "model/tokenizer/tokenizer_json_steps.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

using nlohmann::ordered_json;

bool IsMerged(const TokenizerData& data, std::size_t id) {
  const auto rules = data.rules.find(static_cast<TokenId>(id));
  return !data.IsAdded(id) || (rules != data.rules.end() && rules->second.merged);
}

// The first of the added tokens at the vocabulary's end that tokenizers number on from it: they
// stand in added_tokens alone. Any others are written into the vocabulary too, so that they keep
// their ids.
std::size_t VocabularyEnd(const TokenizerData& data) {
  std::size_t size = data.pieces.size();
  while (size > 0 && data.kinds[size - 1] == TokenKind::kUnused) --size;
  std::size_t end = size;
  while (end > 0 && data.IsAdded(end - 1) && !IsMerged(data, end - 1) &&
         data.unknown_character != static_cast<TokenId>(end - 1)) {
    --end;
  }
  const auto first = data.kinds.begin();
  const bool has_gaps =
      std::count(first, first + static_cast<std::ptrdiff_t>(end), TokenKind::kUnused) > 0;
  return has_gaps ? size : end;
}

ordered_json VocabularyJson(const TokenizerData& data) {
  ordered_json vocabulary = ordered_json::object();
  auto& entries = vocabulary.get_ref<ordered_json::object_t&>();
  std::unordered_set<std::string_view> written;
  const std::size_t end = VocabularyEnd(data);
  for (std::size_t id = 0; id < end; ++id) {
    if (data.kinds[id] == TokenKind::kUnused || !written.insert(data.pieces[id]).second) continue;
    // Straight into the list of pairs: the checked insertion searches the list each time.
    entries.push_back({data.pieces[id], id});
  }
  return vocabulary;
}

ordered_json AddedTokensJson(const TokenizerData& data) {
  ordered_json added = ordered_json::array();
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    if (!data.IsAdded(id)) continue;
    const auto found = data.rules.find(static_cast<TokenId>(id));
    const AddedTokenRules rules = found == data.rules.end() ? AddedTokenRules() : found->second;
    added.push_back({{"id", id},
                     {"content", data.pieces[id]},
                     {"single_word", rules.single_word},
                     {"lstrip", rules.lstrip},
                     {"rstrip", rules.rstrip},
                     {"normalized", rules.normalized},
                     {"special", data.kinds[id] == TokenKind::kControl}});
  }
  return added;
}

// "left right", or ["left", "right"] where pieces have spaces.
ordered_json MergesJson(const std::vector<Merge>& merges) {
  const bool spaced = std::any_of(merges.begin(), merges.end(), [](const Merge& merge) {
    return merge.piece.find(' ') != std::string::npos;
  });
  ordered_json list = ordered_json::array();
  auto& entries = list.get_ref<ordered_json::array_t&>();
  entries.reserve(merges.size());
  for (const Merge& merge : merges) {
    std::string left = merge.piece.substr(0, merge.left);
    std::string right = merge.piece.substr(merge.left);
    if (spaced) {
      entries.push_back(ordered_json::array({std::move(left), std::move(right)}));
    } else {
      entries.emplace_back(left + " " + right);
    }
  }
  return list;
}

ordered_json PostProcessorJson(const TokenizerData& data) {
  const bool bos = data.adds_bos && data.bos, eos = data.adds_eos && data.eos;
  if (!bos && !eos) {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", false},
            {"use_regex", true}};
  }
  ordered_json single = ordered_json::array(), pair = ordered_json::array();
  ordered_json tokens = ordered_json::object();
  const auto special = [&](TokenId id, int type) -> ordered_json {
    const std::string& piece = data.pieces[static_cast<std::size_t>(id)];
    tokens[piece] = {{"id", piece},
                     {"ids", ordered_json::array({id})},
                     {"tokens", ordered_json::array({piece})}};
    return {{"SpecialToken", {{"id", piece}, {"type_id", type}}}};
  };
  const auto add = [&](ordered_json& list, const char* text, int type) {
    if (bos) list.push_back(special(*data.bos, type));
    list.push_back({{"Sequence", {{"id", text}, {"type_id", type}}}});
    if (eos) list.push_back(special(*data.eos, type));
  };
  add(single, "A", 0);
  add(pair, "A", 0);
  add(pair, "B", 1);
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(tokens)}};
}

// A special token's text, or null.
ordered_json PieceOrNull(const TokenizerData& data, const std::optional<TokenId>& id) {
  if (!id || static_cast<std::size_t>(*id) >= data.pieces.size()) return nullptr;
  return data.pieces[static_cast<std::size_t>(*id)];
}

}  // namespace

base::Result<ordered_json> TokenizerJson(const TokenizerData& data) {
  for (const std::string& piece : data.pieces) {
    if (IsUtf8(piece)) continue;
    return base::Fail(base::Code::kUnimplemented,
                      "the vocabulary has a token that is no UTF-8, which tokenizer.json cannot "
                      "hold: keep the model as GGUF");
  }
  return ordered_json{
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", AddedTokensJson(data)},
      {"normalizer", NormalizerJson(data.normalizer)},
      {"pre_tokenizer", PreTokenizerJson(data.pre_tokenizer)},
      {"post_processor", PostProcessorJson(data)},
      {"decoder", DecoderJson(data.decoder)},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", PieceOrNull(data, data.unknown_character)},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", data.fuses_unknown},
        {"byte_fallback", data.byte_fallback},
        {"ignore_merges", data.ignore_merges},
        {"vocab", VocabularyJson(data)},
        {"merges", MergesJson(data.scores.empty() ? data.merges : MergesFromScores(data))}}}};
}

ordered_json TokenizerConfigJson(const TokenizerData& data, const std::string& chat_template) {
  ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                         {"add_prefix_space", false},
                         {"add_bos_token", data.adds_bos},
                         {"add_eos_token", data.adds_eos},
                         {"clean_up_tokenization_spaces", false},
                         {"bos_token", PieceOrNull(data, data.bos)},
                         {"eos_token", PieceOrNull(data, data.eos)},
                         {"unk_token", PieceOrNull(data, data.unknown)},
                         {"pad_token", PieceOrNull(data, data.padding)}};
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  return config;
}

}  // namespace cloister::model
