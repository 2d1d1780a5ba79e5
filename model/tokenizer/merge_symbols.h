#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <queue>
#include <vector>

#include "model/tokenizer/merge_rules.h"

namespace cloister::model {

// Applies, again and again, the rule of lowest rank (of equals the leftmost) that fits two
// neighbouring symbols. `Symbol` needs nothing but copying; `rule_of(left, right)` gives a
// MergeRule pointer or null, `join(left, right, rule)` the symbol that the two become. Short rows
// are searched from end to end each time, O(n²) with a tiny factor; long ones by a heap, O(n log
// n).
namespace merge_internal {

constexpr std::size_t kShort = 40;
constexpr std::uint32_t kNoRank = std::numeric_limits<std::uint32_t>::max();

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

// A symbol of a long row and its neighbours.
struct Link {
  std::uint32_t previous = kNone;
  std::uint32_t next = kNone;
  MergeRule rule;  // with the next symbol; kNoRank without, or merged into the previous one
};

template <typename Symbol, typename RuleOf, typename Join>
void MergeShort(std::vector<Symbol>& symbols, const RuleOf& rule_of, const Join& join) {
  std::size_t size = symbols.size();
  MergeRule rules[kShort];  // of each symbol with its right neighbour
  const auto look = [&](std::size_t i) {
    const MergeRule* rule = i + 1 < size ? rule_of(symbols[i], symbols[i + 1]) : nullptr;
    rules[i] = rule != nullptr ? *rule : MergeRule{kNoRank, 0};
  };
  for (std::size_t i = 0; i < size; ++i) look(i);
  while (size > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < size; ++i) {
      if (rules[i].rank < rules[best].rank) best = i;
    }
    if (rules[best].rank == kNoRank) break;
    symbols[best] = join(symbols[best], symbols[best + 1], rules[best]);
    const auto from = static_cast<std::ptrdiff_t>(best) + 2;
    std::copy(symbols.begin() + from, symbols.begin() + static_cast<std::ptrdiff_t>(size),
              symbols.begin() + from - 1);
    std::copy(rules + from, rules + size, rules + from - 1);
    --size;
    if (best > 0) look(best - 1);
    look(best);
  }
  symbols.resize(size);
}

template <typename Symbol, typename RuleOf, typename Join>
void MergeLong(std::vector<Symbol>& symbols, const RuleOf& rule_of, const Join& join) {
  const auto size = static_cast<std::uint32_t>(symbols.size());
  std::vector<Link> links(size);
  // Rank above, place below: the least is the next to apply. Stale entries have another rank than
  // the link that they name.
  std::vector<std::uint64_t> heap;
  const auto look = [&](std::uint32_t i) {
    const MergeRule* rule =
        links[i].next != kNone ? rule_of(symbols[i], symbols[links[i].next]) : nullptr;
    links[i].rule = rule != nullptr ? *rule : MergeRule{kNoRank, 0};
    if (rule != nullptr) heap.push_back(static_cast<std::uint64_t>(rule->rank) << 32 | i);
    return rule != nullptr;
  };
  for (std::uint32_t i = 0; i < size; ++i) {
    links[i].previous = i > 0 ? i - 1 : kNone;
    links[i].next = i + 1 < size ? i + 1 : kNone;
  }
  for (std::uint32_t i = 0; i < size; ++i) look(i);
  const auto later = std::greater<>();
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    const std::uint64_t top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    const auto left = static_cast<std::uint32_t>(top);
    Link& link = links[left];
    if (link.rule.rank != top >> 32) continue;
    const std::uint32_t right = link.next;
    symbols[left] = join(symbols[left], symbols[right], link.rule);
    link.next = links[right].next;
    links[right].rule.rank = kNoRank;
    if (link.next != kNone) links[link.next].previous = left;
    if (link.previous != kNone && look(link.previous)) {
      std::push_heap(heap.begin(), heap.end(), later);
    }
    if (look(left)) std::push_heap(heap.begin(), heap.end(), later);
  }
  std::size_t count = 0;
  for (std::uint32_t i = size > 0 ? 0 : kNone; i != kNone; i = links[i].next) {
    symbols[count++] = symbols[i];
  }
  symbols.resize(count);
}

}  // namespace merge_internal

template <typename Symbol, typename RuleOf, typename Join>
void MergeSymbols(std::vector<Symbol>& symbols, const RuleOf& rule_of, const Join& join) {
  if (symbols.size() <= merge_internal::kShort) {
    merge_internal::MergeShort(symbols, rule_of, join);
  } else {
    merge_internal::MergeLong(symbols, rule_of, join);
  }
}

}  // namespace cloister::model
