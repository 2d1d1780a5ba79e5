#include "trainer/data/chat_encoder.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "model/jinja/unicode.h"

namespace cloister::trainer {
namespace {

// Stands for a message's content while the template is looked at; no template writes it.
std::string Mark(std::size_t message) { return "\x01" + std::to_string(message) + "\x02"; }

// What stands of `content` at `at` in `text`, with `behind` following it: all of it, or what a
// template that trims leaves. All of it where neither stands there.
std::string_view Said(std::string_view content, std::string_view text, std::size_t at,
                      std::string_view behind) {
  using model::jinja::Ends, model::jinja::Strip;
  const std::string_view there = text.substr(std::min(at, text.size()));
  for (const std::string_view said : {content, Strip(content, Ends::kBoth),
                                      Strip(content, Ends::kRight), Strip(content, Ends::kLeft)}) {
    if (there.starts_with(said) && there.substr(said.size()).starts_with(behind)) return said;
  }
  return content;
}

}  // namespace

ChatEncoder::ChatEncoder(std::shared_ptr<const model::Tokenizer> tokenizer,
                         std::shared_ptr<const model::ChatTemplate> chat_template)
    : tokenizer_(std::move(tokenizer)),
      template_(std::move(chat_template)),
      end_of_turn_(tokenizer_->end_of_generation()) {}

base::Result<ChatEncoder::Rendered> ChatEncoder::Render(const nlohmann::ordered_json& messages,
                                                        std::size_t count,
                                                        bool add_generation_prompt) const {
  nlohmann::ordered_json input, marked;
  input["messages"] = marked["messages"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < count; ++i) {
    input["messages"].push_back(messages[i]);
    marked["messages"].push_back(messages[i]);
    marked["messages"].back()["content"] = Mark(i);
  }
  input["add_generation_prompt"] = marked["add_generation_prompt"] = add_generation_prompt;
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, template_->Render(input));
  CLOISTER_ASSIGN_OR_RETURN(const std::string frame, template_->Render(marked));
  Rendered rendered;
  std::size_t done = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t found = frame.find(Mark(i), done);
    if (found == std::string::npos) break;
    rendered.text.append(frame, done, found - done);
    done = found + Mark(i).size();
    const std::size_t next = i + 1 < count ? frame.find(Mark(i + 1), done) : frame.npos;
    const std::string_view behind = std::string_view(frame).substr(done, next - done);
    const auto& content = messages[i]["content"].get_ref<const std::string&>();
    const std::string_view said = Said(content, text, rendered.text.size(), behind);
    rendered.contents.emplace_back(rendered.text.size(), said.size());
    rendered.text += said;
  }
  rendered.text.append(frame, done);
  if (rendered.text != text) {
    return base::Fail(base::Code::kUnimplemented,
                      "the chat template changes what messages say, which is not supported: use a "
                      "model with another template");
  }
  return rendered;
}

std::vector<model::TokenId> ChatEncoder::Tokenize(const Rendered& rendered,
                                                  std::size_t from) const {
  const std::string_view text = rendered.text;
  std::vector<model::Tokenizer::Part> parts;
  std::size_t plain = from;  // what stands between two special tokens is tokenized as one
  const auto add_plain = [&](std::size_t end) {
    if (end > plain) parts.push_back({text.substr(plain, end - plain), {}});
  };
  const auto add_frame = [&](std::size_t begin, std::size_t end) {
    for (const auto& part : tokenizer_->CutSpecial(text.substr(begin, end - begin))) {
      if (part.special) {
        add_plain(begin);
        parts.push_back(part);
        plain = begin + part.text.size();
      }
      begin += part.text.size();
    }
  };
  std::size_t done = from;
  for (const auto& [offset, size] : rendered.contents) {
    if (offset < from) continue;
    add_frame(done, offset);
    done = offset + size;
  }
  add_frame(done, text.size());
  add_plain(text.size());
  return tokenizer_->EncodeParts(parts);
}

void ChatEncoder::Append(Example& example, std::span<const model::TokenId> ids, bool answer) const {
  // What the template writes after the end of a turn is not the model's to say.
  auto last = ids.end();
  if (answer) {
    last = std::find_first_of(ids.begin(), ids.end(), end_of_turn_.begin(), end_of_turn_.end());
    if (last != ids.end()) ++last;
  }
  for (auto id = ids.begin(); id != ids.end(); ++id) {
    example.ids.push_back(*id);
    example.answer.push_back(answer && id < last && example.tokens() > 1 ? 1 : 0);
  }
}

base::Result<Example> ChatEncoder::Encode(const nlohmann::ordered_json& messages) const {
  Example example;
  std::string done;  // the text that `example` holds so far
  const auto extends = [&done](const Rendered& rendered) {
    return rendered.text.compare(0, done.size(), done) == 0;
  };
  for (std::size_t turn = 0; turn < messages.size(); ++turn) {
    if (messages[turn]["role"] != "assistant") continue;
    CLOISTER_ASSIGN_OR_RETURN(Rendered prompt, Render(messages, turn, true));
    if (!extends(prompt))
      return base::Fail(base::Code::kDataLoss,
                        "the chat template rewrites earlier turns: give one answer a record");
    Append(example, Tokenize(prompt, done.size()), false);
    done = std::move(prompt.text);
    CLOISTER_ASSIGN_OR_RETURN(Rendered answered, Render(messages, turn + 1, false));
    if (!extends(answered))
      return base::Fail(base::Code::kDataLoss,
                        "the chat template writes an answer otherwise than it asks for one: use a "
                        "model with another template");
    Append(example, Tokenize(answered, done.size()), true);
    done = std::move(answered.text);
  }
  return example;
}

}  // namespace cloister::trainer
