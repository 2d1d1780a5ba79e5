#include "model/tokenizer/decoder.h"

#include <optional>
#include <utility>

#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/decoder_steps.h"
#include "model/tokenizer/utf8_stream.h"

namespace cloister::model {

// Steps on single tokens, how tokens are joined, and steps on the one that they become.
struct Decoder::Steps {
  std::vector<TokenStep> before;
  bool byte_level = false;
  bool joined_by_spaces = false;
  std::vector<TokenStep> after;
};

Decoder::Decoder(std::unique_ptr<const Steps> steps) : steps_(std::move(steps)) {}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;

base::Result<Decoder> Decoder::Make(const std::vector<DecoderStep>& steps) {
  constexpr std::size_t kMaxSteps = 64;
  if (steps.size() > kMaxSteps) {
    return base::Fail(base::Code::kDataLoss, "the tokenizer's decoder has too many steps");
  }
  auto made = std::make_unique<Steps>();
  made->joined_by_spaces = steps.empty();
  bool joined = false;
  for (const DecoderStep& step : steps) {
    const bool fuses = std::holds_alternative<FuseDecoding>(step);
    if (fuses || (std::holds_alternative<ByteLevelDecoding>(step) && !joined)) {
      made->byte_level = made->byte_level || !fuses;
      joined = true;
      continue;
    }
    CLOISTER_ASSIGN_OR_RETURN(TokenStep next, TokenStep::Make(step));
    (joined ? made->after : made->before).push_back(std::move(next));
  }
  return Decoder(std::move(made));
}

class Decoder::Stream::State {
 public:
  explicit State(const Steps& steps) : steps_(steps) {
    for (const TokenStep& step : steps.before) before_.push_back(step.Begin());
    // One step that strips the joined text can work as it comes; others wait for its end.
    if (steps.after.size() == 1) strip_ = steps.after[0].AsStrip();
    waits_ = !steps.after.empty() && !strip_;
  }

  void Add(const Token& token, std::string& text) { Pass(0, token, text); }

  std::string Finish() {
    std::string text;
    for (std::size_t i = 0; i < before_.size(); ++i) {
      before_[i]->Finish([&](const Token& token) { Pass(i + 1, token, text); });
    }
    std::string last;
    utf8_.Finish(last);
    Emit(last, text);
    if (waits_) {
      for (const TokenStep& step : steps_.after) {
        const auto run = step.Begin();
        std::string changed;
        const auto take = [&](const Token& token) { changed += token.text; };
        run->Add({waiting_, false}, take);
        run->Finish(take);
        waiting_ = std::move(changed);
      }
      text += waiting_;
    }
    // What the strip held back ends the text: it is stripped.
    return text;
  }

 private:
  // A token that has passed `done` steps.
  void Pass(std::size_t done, const Token& token, std::string& text) {
    if (done < before_.size()) {
      before_[done]->Add(token, [&](const Token& next) { Pass(done + 1, next, text); });
      return;
    }
    std::string bytes;
    if (steps_.joined_by_spaces && !first_) bytes = " ";
    first_ = false;
    if (steps_.byte_level && !token.verbatim) {
      bytes += PieceToBytes(token.text);
    } else {
      bytes += token.text;
    }
    std::string part;
    utf8_.Add(bytes, part);
    Emit(part, text);
  }

  void Emit(std::string_view part, std::string& text) {
    if (waits_) {
      waiting_ += part;
    } else if (strip_) {
      strip_->Add(part, text);
    } else {
      text += part;
    }
  }

  const Steps& steps_;
  std::vector<std::unique_ptr<TokenStep::Run>> before_;
  std::optional<StripStream> strip_;
  bool waits_ = false;
  std::string waiting_;
  Utf8Stream utf8_;
  bool first_ = true;
};

Decoder::Stream::Stream(const Decoder& decoder)
    : state_(std::make_unique<State>(*decoder.steps_)) {}
Decoder::Stream::Stream(Stream&&) noexcept = default;
Decoder::Stream& Decoder::Stream::operator=(Stream&&) noexcept = default;
Decoder::Stream::~Stream() = default;
void Decoder::Stream::Add(const Token& token, std::string& text) { state_->Add(token, text); }
std::string Decoder::Stream::Finish() { return state_->Finish(); }

}  // namespace cloister::model
