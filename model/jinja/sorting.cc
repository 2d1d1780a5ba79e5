#include "model/jinja/sorting.h"

#include <algorithm>
#include <numeric>

#include "model/jinja/comparison.h"

namespace cloister::model::jinja {

base::Result<std::vector<Value>> SortedBy(Runtime& runtime, std::vector<Value> items,
                                          const std::vector<Value>& keys, bool reverse) {
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), 0);
  base::Status status;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (!status) return false;
    runtime.heap().Spend(1);
    status = runtime.heap().Check();
    if (!status) return false;
    const base::Result<int> compared = reverse ? Order(keys[b], keys[a]) : Order(keys[a], keys[b]);
    if (!compared) status = tl::unexpected<base::Error>(compared.error());
    return compared && *compared == -1;
  });
  CLOISTER_RETURN_IF_ERROR(status);
  std::vector<Value> sorted;
  sorted.reserve(items.size());
  for (const std::size_t index : order) sorted.push_back(std::move(items[index]));
  return sorted;
}

}  // namespace cloister::model::jinja
