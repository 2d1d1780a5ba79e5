#include "model/tokenizer/decoder_steps.h"

#include <utility>
#include <vector>

#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/regex.h"
#include "model/tokenizer/utf8.h"
#include "model/tokenizer/utf8_stream.h"

namespace cloister::model {
namespace {

using Token = Decoder::Token;
using Run = TokenStep::Run;
using Sink = TokenStep::Sink;

// Changes each token on its own.
template <typename Change>
class ChangingRun final : public Run {
 public:
  explicit ChangingRun(Change change) : change_(std::move(change)) {}
  void Add(const Token& token, const Sink& sink) override {
    if (token.verbatim) return sink(token);
    const std::string changed = change_(token.text);
    sink({changed, false});
  }

 private:
  Change change_;
};

template <typename Change>
std::unique_ptr<Run> Changing(Change change) {
  return std::make_unique<ChangingRun<Change>>(std::move(change));
}

class ByteFallbackRun final : public Run {
 public:
  void Add(const Token& token, const Sink& sink) override {
    if (const auto byte = token.verbatim ? std::nullopt : FallbackByte(token.text)) {
      bytes_ += static_cast<char>(*byte);
      return;
    }
    Finish(sink);
    sink(token);
  }

  void Finish(const Sink& sink) override {
    if (bytes_.empty()) return;
    const std::string bytes = std::exchange(bytes_, {});
    if (IsUtf8(bytes)) return sink({bytes, false});
    for (std::size_t i = 0; i < bytes.size(); ++i) sink({"\xef\xbf\xbd", false});
  }

 private:
  std::string bytes_;
};

class MetaspaceRun final : public Run {
 public:
  explicit MetaspaceRun(MetaspaceDecoding step) : step_(std::move(step)) {}
  void Add(const Token& token, const Sink& sink) override {
    const bool drops = std::exchange(first_, false) && step_.strips_first;
    if (token.verbatim) return sink(token);
    sink({ReplaceAll(token.text, step_.replacement, drops ? "" : " "), false});
  }

 private:
  static std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
    std::string changed;
    std::size_t done = 0;
    for (std::size_t found = text.find(from); found != std::string_view::npos;
         found = text.find(from, done)) {
      changed.append(text, done, found - done).append(to);
      done = found + from.size();
    }
    return changed.append(text, done);
  }

  MetaspaceDecoding step_;
  bool first_ = true;
};

std::string Stripped(const StripDecoding& strip, std::string_view text) {
  const std::string_view content = strip.content;
  for (std::size_t i = 0; i < strip.start && text.starts_with(content); ++i) {
    text.remove_prefix(content.size());
  }
  for (std::size_t i = 0; i < strip.stop && text.ends_with(content); ++i) {
    text.remove_suffix(content.size());
  }
  return std::string(text);
}

std::string Replaced(const Regex& regex, std::string_view content, std::string_view text) {
  if (!IsUtf8(text)) return std::string(text);
  std::string changed;
  std::size_t done = 0;
  Regex::Search search(regex, text);
  while (const auto match = search.Next()) {
    changed.append(text, done, match->begin - done).append(content);
    done = match->end;
  }
  return changed.append(text, done);
}

// The joined text under the byte alphabet once more, as one token.
std::string BytesOf(std::string_view text) {
  std::string bytes;
  Utf8Stream stream;
  stream.Add(PieceToBytes(text), bytes);
  stream.Finish(bytes);
  return bytes;
}

}  // namespace

void StripStream::Add(std::string_view part, std::string& text) {
  const std::string_view content = strip_.content;
  while (!begun_ && !part.empty()) {
    if (taken_ == strip_.start || !part.starts_with(content)) {
      begun_ = true;
    } else {
      part.remove_prefix(content.size());
      ++taken_;
    }
  }
  if (part.empty()) return;
  std::size_t tail = 0;  // characters of the part's end that may be stripped
  std::string_view body = part;
  while (tail < strip_.stop && body.ends_with(content)) {
    body.remove_suffix(content.size());
    ++tail;
  }
  const auto put = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) text += content;
  };
  if (!body.empty()) {
    put(held_);
    held_ = 0;
    text += body;
  }
  held_ += tail;
  if (held_ > strip_.stop) {
    put(held_ - strip_.stop);
    held_ = strip_.stop;
  }
}

base::Result<TokenStep> TokenStep::Make(const DecoderStep& step) {
  if (std::holds_alternative<ByteFallbackDecoding>(step)) {
    return TokenStep([] { return std::make_unique<ByteFallbackRun>(); });
  }
  if (const auto* space = std::get_if<MetaspaceDecoding>(&step)) {
    return TokenStep([space = *space] { return std::make_unique<MetaspaceRun>(space); });
  }
  if (const auto* strip = std::get_if<StripDecoding>(&step)) {
    TokenStep made([strip = *strip] {
      return Changing([strip](std::string_view text) { return Stripped(strip, text); });
    });
    made.strip_ = *strip;
    return made;
  }
  if (const auto* replace = std::get_if<ReplaceStep>(&step)) {
    CLOISTER_ASSIGN_OR_RETURN(Regex regex, replace->regex ? Regex::Make(replace->pattern)
                                                          : Regex::Literal(replace->pattern));
    const auto shared = std::make_shared<const Regex>(std::move(regex));
    return TokenStep([shared, content = replace->content] {
      return Changing(
          [shared, content](std::string_view text) { return Replaced(*shared, content, text); });
    });
  }
  return TokenStep([] { return Changing(BytesOf); });
}

std::optional<StripStream> TokenStep::AsStrip() const {
  return strip_ ? std::optional(StripStream(*strip_)) : std::nullopt;
}

}  // namespace cloister::model
