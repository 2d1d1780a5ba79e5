// tokenizer.model: any bytes are read to a tokenizer or refused, and what is read can be used.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/tokenizer/merges_from_scores.h"
#include "model/tokenizer/sentencepiece_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace model = cloister::model;
  const auto read =
      model::TokenizerDataFromSentencePiece({reinterpret_cast<const char*>(data), size});
  if (!read) return 0;
  const auto made = model::MakeTokenizer(*read);
  if (!made) return 0;
  for (const std::string_view text : {" ab  a\xc3\xa9\xff", "ab<s>bab \xe2\x96\x81"}) {
    const auto ids = (*made)->Encode(text, {.parse_special = true});
    for (const model::TokenId id : ids) CLOISTER_CHECK(id >= 0 && id < (*made)->vocab_size());
    CLOISTER_CHECK((*made)->Decode(ids).has_value());
  }
  (void)model::MergesFromScores(*read);
  return 0;
}
