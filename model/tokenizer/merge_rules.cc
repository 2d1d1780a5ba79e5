#include "model/tokenizer/merge_rules.h"

#include <bit>

namespace cloister::model {

MergeRules::MergeRules(std::size_t count) : slots_(std::bit_ceil(count + count / 2 + 2)) {
  mask_ = slots_.size() - 1;
}

void MergeRules::Add(TokenId left, TokenId right, MergeRule rule) {
  const std::uint64_t key = Key(left, right);
  std::size_t at = First(key);
  while (slots_[at].key != kEmpty && slots_[at].key != key) at = (at + 1) & mask_;
  slots_[at] = {key, rule};
}

}  // namespace cloister::model
