#include "model/tokenizer/vocabulary.h"

#include <bit>

namespace cloister::model {

void Vocabulary::Reserve(std::size_t count) {
  slots_.resize(std::bit_ceil(count * 2 + 2));
  mask_ = slots_.size() - 1;
}

void Vocabulary::Insert(TokenId id) {
  const std::string_view piece = pieces_[static_cast<std::size_t>(id)];
  const std::uint32_t hash = Hash(piece);
  std::size_t at = hash & mask_;
  for (; slots_[at].id != kAbsent; at = (at + 1) & mask_) {
    if (slots_[at].hash == hash && pieces_[static_cast<std::size_t>(slots_[at].id)] == piece) {
      return;
    }
  }
  slots_[at] = {hash, id};
}

}  // namespace cloister::model
