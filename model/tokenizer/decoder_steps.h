#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/tokenizer/decoder.h"

namespace cloister::model {

// Takes up to `start` of a character from a text's begin and up to `stop` from its end, as the text
// comes. What may yet be the end is held back.
class StripStream {
 public:
  explicit StripStream(StripDecoding strip) : strip_(std::move(strip)) {}
  // Appends to `text`.
  void Add(std::string_view part, std::string& text);

 private:
  StripDecoding strip_;
  std::size_t taken_ = 0;  // from the begin
  bool begun_ = false;     // the begin is behind us
  std::size_t held_ = 0;   // characters held back, all of them strip_.content
};

// A decoding step that works on single tokens. Immutable, thread-safe.
class TokenStep {
 public:
  using Sink = std::function<void(const Decoder::Token&)>;
  // One pass over the tokens of a text.
  class Run {
   public:
    virtual ~Run() = default;
    // `sink` takes the tokens that leave the step.
    virtual void Add(const Decoder::Token& token, const Sink& sink) = 0;
    virtual void Finish(const Sink& sink) { static_cast<void>(sink); }
  };

  static base::Result<TokenStep> Make(const DecoderStep& step);
  std::unique_ptr<Run> Begin() const { return begin_(); }
  // The step on one text that comes in parts, where it is a strip.
  std::optional<StripStream> AsStrip() const;

 private:
  explicit TokenStep(std::function<std::unique_ptr<Run>()> begin) : begin_(std::move(begin)) {}
  std::function<std::unique_ptr<Run>()> begin_;
  std::optional<StripDecoding> strip_;
};

}  // namespace cloister::model
