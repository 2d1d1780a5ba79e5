#include "model/tokenizer/bpe_merges.h"

#include <queue>
#include <tuple>

namespace cloister::model {
namespace {

constexpr std::int64_t kNone = -1;

struct Symbol {
  TokenId id = 0;  // below 0: merged into its left neighbour
  std::int64_t previous = kNone;
  std::int64_t next = kNone;
};

struct Candidate {
  std::int32_t rank = 0;
  std::int64_t left = 0;
  TokenId left_id = 0;  // what stood there when it was found: else it is stale
  TokenId right_id = 0;
  TokenId result = 0;
};

struct Later {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return std::tie(a.rank, a.left) > std::tie(b.rank, b.left);
  }
};

}  // namespace

void BpeMerges::Add(TokenId left, TokenId right, std::int32_t rank, TokenId result) {
  rules_.try_emplace(Key(left, right), Rule{rank, result});
}

const BpeMerges::Rule* BpeMerges::Find(TokenId left, TokenId right) const {
  const auto found = rules_.find(Key(left, right));
  return found == rules_.end() ? nullptr : &found->second;
}

std::vector<TokenId> BpeMerges::Apply(std::span<const TokenId> ids) const {
  const auto size = static_cast<std::int64_t>(ids.size());
  std::vector<Symbol> symbols(ids.size());
  for (std::int64_t i = 0; i < size; ++i)
    symbols[i] = {ids[i], i - 1, i + 1 < size ? i + 1 : kNone};
  std::priority_queue<Candidate, std::vector<Candidate>, Later> queue;
  const auto push = [&](std::int64_t left) {
    if (left == kNone || symbols[left].next == kNone) return;
    const TokenId right_id = symbols[symbols[left].next].id;
    if (const Rule* rule = Find(symbols[left].id, right_id)) {
      queue.push({rule->rank, left, symbols[left].id, right_id, rule->result});
    }
  };
  for (std::int64_t i = 0; i + 1 < size; ++i) push(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.left];
    if (left.id != best.left_id || left.next == kNone || symbols[left.next].id != best.right_id) {
      continue;
    }
    Symbol& right = symbols[left.next];
    left.id = best.result;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNone) symbols[left.next].previous = best.left;
    push(left.previous);
    push(best.left);
  }
  std::vector<TokenId> merged;
  for (std::int64_t i = size > 0 ? 0 : kNone; i != kNone; i = symbols[i].next) {
    merged.push_back(symbols[i].id);
  }
  return merged;
}

}  // namespace cloister::model
