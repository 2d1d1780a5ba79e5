#include "trainer/distributed/whole_state.h"

#include <map>
#include <numeric>
#include <string>
#include <vector>

namespace cloister::trainer {
namespace {

using Memory =
    std::map<std::string, std::vector<std::byte>>;  // of the parts; empty but on the first

base::Result<Memory> Gathered(Ranks& ranks, const StateArrays& parts) {
  Memory memory;
  for (const auto& [name, part] : parts) {
    const auto size = static_cast<std::int64_t>(part.size());
    CLOISTER_ASSIGN_OR_RETURN(const auto sizes, ranks.GatherAll(std::span(&size, 1)));
    std::vector<std::byte>& whole = memory[name];
    if (ranks.first()) {
      whole.resize(
          static_cast<std::size_t>(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0})));
    }
    CLOISTER_RETURN_IF_ERROR(ranks.GatherOnFirst(part, whole));
  }
  return memory;
}

StateArrays Joined(const RankState& state, Memory* memory) {
  StateArrays whole = state.shared;
  if (memory == nullptr) whole.insert(state.parts.begin(), state.parts.end());
  if (memory != nullptr) {
    for (auto& [name, bytes] : *memory) whole[name] = bytes;
  }
  return whole;
}

}  // namespace

base::Status WithWhole(Ranks& ranks, const RankState& state,
                       const std::function<base::Status(const StateArrays& whole)>& use) {
  if (ranks.size() == 1) return use(Joined(state, nullptr));
  CLOISTER_ASSIGN_OR_RETURN(Memory memory, Gathered(ranks, state.parts));
  return ranks.first() ? use(Joined(state, &memory)) : base::Status();
}

base::Status ChangeWhole(Ranks& ranks, const RankState& state,
                         const std::function<base::Status(const StateArrays& whole)>& change) {
  if (ranks.size() == 1) return change(Joined(state, nullptr));
  CLOISTER_ASSIGN_OR_RETURN(Memory memory, Gathered(ranks, state.parts));
  CLOISTER_RETURN_IF_ERROR(
      ranks.Agree(ranks.first() ? change(Joined(state, &memory)) : base::Status()));
  for (const auto& [name, part] : state.parts) {
    CLOISTER_RETURN_IF_ERROR(ranks.ScatterFromFirst(memory[name], part));
  }
  for (const auto& [name, bytes] : state.shared) {
    CLOISTER_RETURN_IF_ERROR(ranks.Broadcast(bytes));
  }
  return {};
}

}  // namespace cloister::trainer
