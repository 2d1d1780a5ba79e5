#include "tests/model/tokenizer/tiny_tokenizers.h"

#include "model/tokenizer/byte_alphabet.h"

namespace cloister::testing {

model::TokenizerData TinySentencePiece() {
  using model::TokenKind;
  model::TokenizerData data;
  for (const char* piece : {"<unk>", "<s>", "</s>"}) data.pieces.emplace_back(piece);
  data.kinds.assign(3, TokenKind::kControl);
  for (int byte = 0; byte < 256; ++byte) {
    data.pieces.push_back(model::FallbackPiece(static_cast<std::uint8_t>(byte)));
    data.kinds.push_back(TokenKind::kByte);
  }
  data.scores.assign(data.pieces.size(), 0);
  for (const char* piece : {"▁a", "ab", "▁ab", "▁▁", "▁", "a", "b", "é"}) {
    data.pieces.emplace_back(piece);
    data.kinds.push_back(TokenKind::kNormal);
    data.scores.push_back(-static_cast<float>(data.pieces.size()));
  }
  data.byte_fallback = true;
  data.unknown_character = data.unknown = 0;
  data.bos = 1;
  data.eos = 2;
  data.normalizer = model::SentencePieceNormalizer(true);
  data.decoder = model::SentencePieceDecoder(true);
  data.added_verbatim = true;
  data.name = "SentencePiece BPE";
  return data;
}

}  // namespace cloister::testing
