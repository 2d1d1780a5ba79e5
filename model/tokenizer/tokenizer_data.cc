#include "model/tokenizer/tokenizer_data.h"

#include <algorithm>
#include <array>

#include "model/tokenizer/check_data.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr std::size_t kMaxTokens = std::size_t{1} << 24;
// Of a token that is sought in text: bounds the time that a search takes.
constexpr std::size_t kMaxAddedBytes = 1024;

}  // namespace

base::Status CheckData(const TokenizerData& data) {
  const std::size_t size = data.pieces.size();
  if (size == 0 || size > kMaxTokens || data.kinds.size() != size ||
      data.merges.size() > kMaxTokens ||
      (!data.scores.empty() && (data.scores.size() != size || !data.merges.empty()))) {
    return base::Fail(Code::kDataLoss, "the tokenizer's lists are empty or differ in length");
  }
  std::vector<TokenId> ids = data.end_ids;
  for (const auto& id : {data.bos, data.eos, data.unknown, data.padding, data.unknown_character}) {
    if (id) ids.push_back(*id);
  }
  for (const auto& [id, rules] : data.rules) ids.push_back(id);
  for (const TokenId id : ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= size) {
      return base::Fail(Code::kDataLoss, "special token id " + std::to_string(id) +
                                             " lies outside of the vocabulary: fetch it again");
    }
  }
  for (std::size_t id = 0; id < size; ++id) {
    if (data.IsAdded(id) && data.pieces[id].size() > kMaxAddedBytes) {
      return base::Fail(Code::kDataLoss, "the added token " + std::to_string(id) +
                                             " is longer than " + std::to_string(kMaxAddedBytes) +
                                             " bytes: fetch the model again");
    }
  }
  return {};
}

std::vector<NormalizerStep> SentencePieceNormalizer(bool prefix) {
  std::vector<NormalizerStep> steps;
  if (prefix) steps.emplace_back(PrependStep{"\xe2\x96\x81"});
  steps.emplace_back(ReplaceStep{" ", false, "\xe2\x96\x81"});
  return steps;
}

std::vector<DecoderStep> SentencePieceDecoder(bool prefix) {
  std::vector<DecoderStep> steps = {ReplaceStep{"\xe2\x96\x81", false, " "}, ByteFallbackDecoding{},
                                    FuseDecoding{}};
  if (prefix) steps.emplace_back(StripDecoding{" ", 1, 0});
  return steps;
}

std::vector<TokenId> TurnEnds(const TokenizerData& data, const std::string& chat_template) {
  static constexpr std::array<std::string_view, 6> kNames = {
      "<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|end_of_turn|>", "<|eot|>"};
  std::vector<TokenId> found;
  for (std::size_t id = 0; id < data.pieces.size() && id < data.kinds.size(); ++id) {
    if (data.kinds[id] != TokenKind::kControl) continue;
    const bool ends_turns =
        std::find(kNames.begin(), kNames.end(), data.pieces[id]) != kNames.end();
    if (ends_turns && chat_template.find(data.pieces[id]) != std::string::npos) {
      found.push_back(static_cast<TokenId>(id));
    }
  }
  return found;
}

}  // namespace cloister::model
