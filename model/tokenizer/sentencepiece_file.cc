#include "model/tokenizer/sentencepiece_file.h"

#include <optional>
#include <string>
#include <utility>

#include "model/tokenizer/protobuf_reader.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr std::size_t kMaxPieces = std::size_t{1} << 24;

tl::unexpected<base::Error> NotBuilt(const std::string& what) {
  return base::Fail(Code::kUnimplemented,
                    "the SentencePiece model " + what +
                        ", which is not supported: use a model with a tokenizer.json");
}

// TrainerSpec and NormalizerSpec, as far as they matter.
struct Specification {
  std::uint64_t model_type = 1;  // 1 Unigram, 2 BPE, 3 word, 4 character
  bool byte_fallback = false;
  bool whitespace_is_suffix = false;
  std::int64_t unknown = 0;
  std::int64_t bos = 1;
  std::int64_t eos = 2;
  std::int64_t padding = -1;
  bool has_table = false;
  bool adds_prefix = true;
  bool removes_spaces = true;
  bool escapes_spaces = true;
};

base::Status ReadTrainer(std::string_view message, Specification& specification) {
  ProtobufReader reader(message);
  while (!reader.AtEnd()) {
    CLOISTER_ASSIGN_OR_RETURN(const auto field, reader.Next());
    const auto id = static_cast<std::int32_t>(field.value);
    switch (field.number) {
      case 3:
        specification.model_type = field.value;
        break;
      case 24:
        specification.whitespace_is_suffix = field.value != 0;
        break;
      case 35:
        specification.byte_fallback = field.value != 0;
        break;
      case 40:
        specification.unknown = id;
        break;
      case 41:
        specification.bos = id;
        break;
      case 42:
        specification.eos = id;
        break;
      case 43:
        specification.padding = id;
        break;
      default:
        break;
    }
  }
  return {};
}

base::Status ReadNormalizer(std::string_view message, Specification& specification) {
  ProtobufReader reader(message);
  while (!reader.AtEnd()) {
    CLOISTER_ASSIGN_OR_RETURN(const auto field, reader.Next());
    if (field.number == 2) specification.has_table = !field.bytes.empty();
    if (field.number == 3) specification.adds_prefix = field.value != 0;
    if (field.number == 4) specification.removes_spaces = field.value != 0;
    if (field.number == 5) specification.escapes_spaces = field.value != 0;
  }
  return {};
}

// SentencePiece's type of a piece.
TokenKind KindOf(std::uint64_t type) {
  switch (type) {
    case 2:  // unknown
    case 3:  // control
      return TokenKind::kControl;
    case 4:
      return TokenKind::kUserDefined;
    case 5:
      return TokenKind::kUnused;
    case 6:
      return TokenKind::kByte;
    default:
      return TokenKind::kNormal;
  }
}

std::string WithSpaces(std::string piece) {
  constexpr std::string_view kMark = "\xe2\x96\x81";
  for (std::size_t at = 0; (at = piece.find(kMark, at)) != std::string::npos; ++at) {
    piece.replace(at, kMark.size(), " ");
  }
  return piece;
}

base::Status ReadPiece(std::string_view message, TokenizerData& data) {
  if (data.pieces.size() >= kMaxPieces) {
    return base::Fail(Code::kDataLoss, "the SentencePiece model has too many pieces");
  }
  std::string piece;
  float score = 0;
  std::uint64_t type = 1;
  ProtobufReader reader(message);
  while (!reader.AtEnd()) {
    CLOISTER_ASSIGN_OR_RETURN(const auto field, reader.Next());
    if (field.number == 1) piece = std::string(field.bytes);
    if (field.number == 2) score = field.AsFloat();
    if (field.number == 3) type = field.value;
  }
  // Sought in text as it is written, before spaces are escaped.
  if (KindOf(type) == TokenKind::kUserDefined) piece = WithSpaces(std::move(piece));
  data.pieces.push_back(std::move(piece));
  data.scores.push_back(score);
  data.kinds.push_back(KindOf(type));
  return {};
}

base::Status CheckSupported(const Specification& specification) {
  if (specification.model_type != 2) {
    return NotBuilt(specification.model_type == 1 ? "is a Unigram model" : "is no BPE model");
  }
  if (specification.has_table) return NotBuilt("normalizes text by a table");
  if (specification.removes_spaces) return NotBuilt("removes repeated spaces");
  if (!specification.escapes_spaces) return NotBuilt("does not escape spaces");
  if (specification.whitespace_is_suffix) return NotBuilt("puts spaces behind words");
  return {};
}

}  // namespace

base::Result<TokenizerData> TokenizerDataFromSentencePiece(std::string_view bytes) {
  TokenizerData data;
  Specification specification;
  ProtobufReader reader(bytes);
  while (!reader.AtEnd()) {
    CLOISTER_ASSIGN_OR_RETURN(const auto field, reader.Next());
    if (field.number == 1) CLOISTER_RETURN_IF_ERROR(ReadPiece(field.bytes, data));
    if (field.number == 2) CLOISTER_RETURN_IF_ERROR(ReadTrainer(field.bytes, specification));
    if (field.number == 3) CLOISTER_RETURN_IF_ERROR(ReadNormalizer(field.bytes, specification));
  }
  if (data.pieces.empty()) {
    return base::Fail(Code::kDataLoss, "the SentencePiece model has no pieces: fetch it again");
  }
  CLOISTER_RETURN_IF_ERROR(CheckSupported(specification));
  const auto id_of = [&](std::int64_t id) {
    const bool valid = id >= 0 && id < static_cast<std::int64_t>(data.pieces.size());
    return valid ? std::optional(static_cast<TokenId>(id)) : std::nullopt;
  };
  data.bos = id_of(specification.bos);
  data.eos = id_of(specification.eos);
  data.unknown = data.unknown_character = id_of(specification.unknown);
  data.padding = id_of(specification.padding);
  data.adds_bos = true;  // as transformers' LlamaTokenizer, unless the configuration says otherwise
  data.byte_fallback = specification.byte_fallback;
  data.fuses_unknown = true;
  data.normalizer = SentencePieceNormalizer(specification.adds_prefix);
  data.decoder = SentencePieceDecoder(specification.adds_prefix);
  data.added_verbatim = true;
  data.name = "SentencePiece BPE";
  return data;
}

}  // namespace cloister::model
