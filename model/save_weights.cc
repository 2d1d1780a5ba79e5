#include "model/save_weights.h"

#include <algorithm>

#include "base/check.h"
#include "model/write_model.h"

namespace cloister::model {

base::Status SaveWeights(const std::filesystem::path& model, const std::filesystem::path& output,
                         const std::unordered_map<std::string, std::span<const float>>& values) {
  CLOISTER_ASSIGN_OR_RETURN(const auto source, SourceModel::Open(model));
  for (const auto& [name, given] : values) {
    CLOISTER_ASSIGN_OR_RETURN(const TensorDescription stored, source->Describe(name));
    CLOISTER_CHECK(stored.elements() == static_cast<std::int64_t>(given.size()));
  }
  WritePlan plan;
  plan.title = "saving";
  plan.changes = [&](const std::string& name) { return values.contains(name); };
  plan.type = [&](const std::string& name, DataType stored) {
    return values.contains(name) ? DataType::kF32 : stored;
  };
  plan.change = [&](const std::string& name, std::int64_t row, std::span<float> to) {
    const auto from = values.at(name).subspan(static_cast<std::size_t>(row) * to.size(), to.size());
    std::copy(from.begin(), from.end(), to.begin());
  };
  CLOISTER_RETURN_IF_ERROR(WriteModel(*source, output, plan));
  return {};
}

}  // namespace cloister::model
