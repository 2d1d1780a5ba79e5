// tokenizer.json: any bytes are read to a tokenizer or refused. One that is read stays within its
// vocabulary, writes UTF-8, streams what it decodes, and tokenizes the same once it is written. An
// object may bring a tokenizer_config.json under "config" and texts under "texts".
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/check.h"
#include "model/tokenizer/tokenizer_json.h"
#include "model/tokenizer/utf8.h"

namespace {

namespace model = cloister::model;
using Ids = std::vector<model::TokenId>;

void Try(const model::Tokenizer& tokenizer, std::string_view text) {
  for (const bool special : {true, false}) {
    const Ids ids = tokenizer.Encode(text, {.parse_special = special, .add_bos = true});
    for (const model::TokenId id : ids) {
      CLOISTER_CHECK(id >= 0 && id < tokenizer.vocab_size());
      CLOISTER_CHECK(tokenizer.TokenBytes(id).has_value());
    }
    const auto whole = tokenizer.Decode(ids);
    CLOISTER_CHECK(whole && model::IsUtf8(*whole));
    const auto stream = tokenizer.NewStreamingDecoder(false);
    std::string parts;
    for (const model::TokenId id : ids) {
      parts += *stream->Add(id);
      CLOISTER_CHECK(model::IsUtf8(parts));
    }
    CLOISTER_CHECK(parts + stream->Finish() == *whole);
  }
  (void)tokenizer.EncodeParts(tokenizer.CutSpecial(text));
}

void TryWritten(const model::TokenizerData& data, const model::Tokenizer& tokenizer,
                std::string_view text) {
  const auto written = model::TokenizerJson(data);
  if (!written) return;
  const auto config = model::TokenizerConfigJson(data, "");
  const auto back = model::TokenizerDataFromJson(nlohmann::json(*written), nlohmann::json(config));
  if (!back) return;
  const auto again = model::MakeTokenizer(*back);
  if (again) CLOISTER_CHECK((*again)->vocab_size() <= tokenizer.vocab_size());
  if (again) (void)(*again)->Encode(text, {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const nlohmann::json json = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  const nlohmann::json config =
      json.is_object() ? json.value("config", nlohmann::json::object()) : nlohmann::json::object();
  if (!config.is_object()) return 0;
  const auto read = model::TokenizerDataFromJson(json, config);
  if (!read) return 0;
  const auto made = model::MakeTokenizer(*read);
  if (!made) return 0;
  for (const std::string_view text :
       {std::string_view(),
        std::string_view("ab abc  12\n\n Ab\xc3\xa9\xe4\xb8\xad\xf0\x9f\xa6\x80"),
        std::string_view(
            "a\xff\xe4\xb8 <s>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab")}) {
    Try(**made, text);
  }
  const nlohmann::json texts = json.value("texts", nlohmann::json());
  for (const nlohmann::json& text : texts) {
    if (!text.is_string()) continue;
    Try(**made, text.get_ref<const std::string&>());
    TryWritten(*read, **made, text.get_ref<const std::string&>());
  }
  return 0;
}
