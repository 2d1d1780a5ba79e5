#include "model/tokenizer/special_tokens.h"

#include <algorithm>
#include <utility>

namespace cloister::model {

void SpecialTokens::Add(std::string text, TokenId id, bool always) {
  if (text.empty()) return;
  std::vector<Entry>& entries = by_first_byte_[static_cast<unsigned char>(text[0])];
  const auto place = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
    return entry.text.size() < text.size();
  });
  entries.insert(place, {std::move(text), id, always});
}

std::optional<SpecialTokens::Found> SpecialTokens::Find(std::string_view text, std::size_t from,
                                                        bool parse_special) const {
  for (std::size_t i = from; i < text.size(); ++i) {
    for (const Entry& entry : by_first_byte_[static_cast<unsigned char>(text[i])]) {
      if (!parse_special && !entry.always) continue;
      if (text.substr(i).starts_with(entry.text)) {
        return Found{i, i + entry.text.size(), entry.id};
      }
    }
  }
  return std::nullopt;
}

}  // namespace cloister::model
