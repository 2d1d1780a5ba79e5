#include "model/tokenizer/utf8_stream.h"

#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// The bytes at the end of `text` that may yet become a character.
std::size_t UnfinishedTail(std::string_view text) {
  for (std::size_t size = 1; size <= 3 && size <= text.size(); ++size) {
    const std::string_view tail = text.substr(text.size() - size);
    const auto lead = static_cast<unsigned char>(tail[0]);
    if ((lead & 0xc0) == 0x80) continue;
    const std::size_t whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    // A wrong second byte already ends the part: then CharacterAt takes less than all.
    const bool open =
        size < whole && CharacterAt(tail, 0).size == size && lead >= 0xc2 && lead <= 0xf4;
    return open ? size : 0;
  }
  return 0;
}

}  // namespace

void Utf8Stream::Add(std::string_view bytes, std::string& text) {
  std::string joined;
  if (!held_.empty()) {
    joined = held_ + std::string(bytes);
    bytes = joined;
  }
  const std::size_t tail = UnfinishedTail(bytes);
  std::string_view whole = bytes.substr(0, bytes.size() - tail);
  while (!whole.empty()) {
    const std::size_t good = Utf8Prefix(whole);
    text += whole.substr(0, good);
    whole.remove_prefix(good);
    if (whole.empty()) break;
    text += kReplacement;
    whole.remove_prefix(CharacterAt(whole, 0).size);
  }
  held_ = std::string(bytes.substr(bytes.size() - tail));
}

void Utf8Stream::Finish(std::string& text) {
  if (!held_.empty()) text += kReplacement;
  held_.clear();
}

}  // namespace cloister::model
