#include "model/check_weights.h"

#include <string>
#include <vector>

#include "base/parallel.h"
#include "model/finite.h"

namespace cloister::model {

base::Status CheckWeights(const ModelFiles& files) {
  const std::vector<std::string> names = files.TensorNames();
  std::vector<base::Status> found(names.size());
  base::InParallel(static_cast<std::int64_t>(names.size()), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    const base::Result<TensorView> tensor = files.Tensor(names[at]);
    found[at] = tensor ? CheckFinite(names[at], *tensor) : base::Forward(base::Result(tensor));
  });
  for (base::Status& status : found) {
    if (!status) return base::Annotate(std::move(status), files.path().string());
  }
  return {};
}

}  // namespace cloister::model
