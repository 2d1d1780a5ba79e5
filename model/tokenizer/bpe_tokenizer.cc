// The whole way of Hugging Face's tokenizers: added tokens are taken out of the text, the rest is
// normalized, cut into pieces, and each piece is merged.
#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "model/tokenizer/added_tokens.h"
#include "model/tokenizer/bpe_model.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/check_data.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {
namespace {

using base::Code;

constexpr std::string_view kMark = "\xe2\x96\x81";

// Encodes the pieces of a text.
class ModelSink final : public PieceSink {
 public:
  ModelSink(const BpeModel& model, std::vector<TokenId>& ids) : model_(model), ids_(ids) {}
  void Add(std::string_view piece, bool) override { model_.Encode(piece, ids_, scratch_); }
  void AddToken(TokenId id) { ids_.push_back(id); }

 private:
  const BpeModel& model_;
  std::vector<TokenId>& ids_;
  BpeModel::Scratch scratch_;
};

// What data is compiled to before the tokenizer is put together.
struct Stages {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Decoder decoder;
};

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(TokenizerData data, Stages stages)
      : data_(std::move(data)),
        stages_(std::move(stages)),
        raw_(Added(false)),
        normalized_(Added(true)),
        model_(data_, stages_.pre_tokenizer.byte_level()) {
    for (std::size_t id = 0; id < data_.pieces.size(); ++id) {
      if (data_.IsAdded(id)) added_.try_emplace(data_.pieces[id], static_cast<TokenId>(id));
    }
    for (const auto& [id, rules] : data_.rules) {
      if (!rules.normalized || stages_.normalizer.empty()) continue;
      written_.emplace(id, stages_.normalizer.Apply(data_.pieces[static_cast<std::size_t>(id)]));
    }
  }

  base::Status Build() { return model_.Build(); }

  std::vector<TokenId> Encode(std::string_view text, EncodeOptions options) const override {
    std::vector<TokenId> ids;
    ids.reserve(text.size() / 4 + 8);
    if (options.add_bos && data_.bos) ids.push_back(*data_.bos);
    ModelSink sink(model_, ids);
    EncodeText(text, true, options.parse_special, sink);
    return ids;
  }

  std::vector<Part> CutSpecial(std::string_view text) const override {
    std::vector<Part> parts;
    std::size_t done = 0, from = 0;
    while (from < text.size()) {
      const auto found = raw_.Find(text, from, true);
      if (!found) break;
      from = found->end;
      if (!found->special) continue;
      if (found->begin > done) parts.push_back({text.substr(done, found->begin - done), {}});
      parts.push_back({text.substr(found->begin, found->end - found->begin), found->id});
      done = found->end;
    }
    if (done < text.size()) parts.push_back({text.substr(done), {}});
    return parts;
  }

  std::vector<TokenId> EncodeParts(std::span<const Part> parts) const override {
    std::vector<TokenId> ids;
    ModelSink sink(model_, ids);
    bool begins = true;
    for (const Part& part : parts) {
      if (part.special) {
        ids.push_back(*part.special);
      } else {
        EncodeText(part.text, begins, false, sink);
      }
      begins = begins && part.text.empty();
    }
    return ids;
  }

  base::Result<std::string> Decode(std::span<const TokenId> ids) const override {
    Stream stream(*this, false);
    std::string text;
    for (const TokenId id : ids) {
      CLOISTER_RETURN_IF_ERROR(CheckId(id));
      stream.Append(id, text);
    }
    text += stream.Finish();
    return text;
  }

  std::unique_ptr<StreamingDecoder> NewStreamingDecoder(bool skip_special) const override {
    return std::make_unique<Stream>(*this, skip_special);
  }

  base::Result<std::string> TokenBytes(TokenId id) const override {
    CLOISTER_RETURN_IF_ERROR(CheckId(id));
    const std::string& piece = data_.pieces[static_cast<std::size_t>(id)];
    const TokenKind kind = data_.kinds[static_cast<std::size_t>(id)];
    if (kind == TokenKind::kByte) {
      if (const auto byte = FallbackByte(piece)) return std::string(1, static_cast<char>(*byte));
    }
    if (kind != TokenKind::kNormal) return piece;
    if (stages_.pre_tokenizer.byte_level()) return PieceToBytes(piece);
    std::string bytes = piece;
    for (std::size_t at = 0; (at = bytes.find(kMark, at)) != std::string::npos; ++at) {
      bytes.replace(at, kMark.size(), " ");
    }
    return bytes;
  }

  std::int64_t vocab_size() const override {
    return static_cast<std::int64_t>(data_.pieces.size());
  }
  std::optional<TokenId> bos() const override { return data_.bos; }
  std::vector<TokenId> end_of_generation() const override { return data_.end_ids; }
  bool adds_bos() const override { return data_.adds_bos && data_.bos.has_value(); }
  std::string description() const override { return data_.name; }

  std::optional<TokenId> Find(std::string_view token) const override {
    if (const auto found = added_.find(token); found != added_.end()) return found->second;
    const TokenId id = model_.Find(token);
    return id == Vocabulary::kAbsent ? std::nullopt : std::optional(id);
  }

 private:
  class Stream final : public StreamingDecoder {
   public:
    Stream(const BpeTokenizer& tokenizer, bool skip_special)
        : tokenizer_(tokenizer), skip_special_(skip_special), stream_(tokenizer.stages_.decoder) {}

    base::Result<std::string> Add(TokenId id) override {
      CLOISTER_RETURN_IF_ERROR(tokenizer_.CheckId(id));
      std::string text;
      Append(id, text);
      return text;
    }
    std::string Finish() override { return stream_.Finish(); }

    // `id` is in range.
    void Append(TokenId id, std::string& text) {
      const TokenizerData& data = tokenizer_.data_;
      const auto index = static_cast<std::size_t>(id);
      if (data.pieces[index].empty()) return;
      if (skip_special_ && data.kinds[index] == TokenKind::kControl) return;
      const bool verbatim = data.added_verbatim && data.IsAdded(index);
      const auto written = tokenizer_.written_.find(id);
      const bool rewritten = written != tokenizer_.written_.end() && !verbatim;
      stream_.Add({rewritten ? written->second : data.pieces[index], verbatim}, text);
    }

   private:
    const BpeTokenizer& tokenizer_;
    bool skip_special_;
    Decoder::Stream stream_;
  };

  base::Status CheckId(TokenId id) const {
    if (id >= 0 && static_cast<std::size_t>(id) < data_.pieces.size()) return {};
    return base::Fail(Code::kOutOfRange, "token id " + std::to_string(id) +
                                             " lies outside of the vocabulary of " +
                                             std::to_string(data_.pieces.size()));
  }

  // The added tokens that are sought in normalized text, or in text as it is.
  std::vector<AddedToken> Added(bool normalized) const {
    std::vector<AddedToken> tokens;
    for (std::size_t id = 0; id < data_.pieces.size(); ++id) {
      if (!data_.IsAdded(id)) continue;
      const auto found = data_.rules.find(static_cast<TokenId>(id));
      const AddedTokenRules rules = found == data_.rules.end() ? AddedTokenRules() : found->second;
      if (rules.normalized != normalized) continue;
      const std::string& piece = data_.pieces[id];
      tokens.push_back({normalized ? stages_.normalizer.Apply(piece) : piece,
                        static_cast<TokenId>(id), data_.kinds[id] == TokenKind::kControl,
                        rules.lstrip, rules.rstrip, rules.single_word});
    }
    return tokens;
  }

  // Calls `plain(text, begins)` on what lies between the tokens of `tokens`, which go to the sink.
  template <typename Plain>
  static void Partition(const AddedTokens& tokens, std::string_view text, bool begins,
                        bool read_special, ModelSink& sink, const Plain& plain) {
    std::size_t done = 0;
    while (done < text.size()) {
      const auto found = tokens.Find(text, done, read_special);
      const std::size_t end = found ? found->begin : text.size();
      if (end > done) plain(text.substr(done, end - done), begins && done == 0);
      if (!found) break;
      sink.AddToken(found->id);
      done = found->end;
    }
  }

  void EncodeText(std::string_view text, bool begins, bool read_special, ModelSink& sink) const {
    Partition(raw_, text, begins, read_special, sink, [&](std::string_view part, bool first) {
      const std::string changed =
          stages_.normalizer.empty() ? std::string() : stages_.normalizer.Apply(part);
      if (!stages_.normalizer.empty()) part = changed;
      const auto cut = [&](std::string_view plain, bool begin) {
        stages_.pre_tokenizer.Cut(plain, begin, sink);
      };
      if (normalized_.empty()) return cut(part, first);
      Partition(normalized_, part, first, read_special, sink, cut);
    });
  }

  TokenizerData data_;
  Stages stages_;
  AddedTokens raw_;
  AddedTokens normalized_;
  BpeModel model_;
  std::unordered_map<std::string_view, TokenId> added_;  // views into data_.pieces
  std::unordered_map<TokenId, std::string> written_;     // how decoders see normalized tokens
};

}  // namespace

base::Result<std::shared_ptr<const Tokenizer>> MakeTokenizer(TokenizerData data) {
  CLOISTER_RETURN_IF_ERROR(CheckData(data));
  std::vector<TokenId> ends;
  for (const TokenId id : data.end_ids) {
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  }
  data.end_ids = std::move(ends);
  CLOISTER_ASSIGN_OR_RETURN(Normalizer normalizer, Normalizer::Make(data.normalizer));
  // Letters that have no token fall back to their own bytes.
  const bool reads_bytes = !data.byte_fallback;
  CLOISTER_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer,
                            PreTokenizer::Make(data.pre_tokenizer, reads_bytes));
  CLOISTER_ASSIGN_OR_RETURN(Decoder decoder, Decoder::Make(data.decoder));
  auto tokenizer = std::make_shared<BpeTokenizer>(
      std::move(data), Stages{std::move(normalizer), std::move(pre_tokenizer), std::move(decoder)});
  CLOISTER_RETURN_IF_ERROR(tokenizer->Build());
  return std::shared_ptr<const Tokenizer>(std::move(tokenizer));
}

}  // namespace cloister::model
