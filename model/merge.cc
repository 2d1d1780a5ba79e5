#include "model/merge.h"

#include <map>
#include <string>
#include <vector>

#include "model/adapter.h"

namespace cloister::model {
namespace {

struct Factors {
  const float* a = nullptr;  // [rank, in]
  const float* b = nullptr;  // [out, rank]
};

std::map<std::string, Factors> FactorsByTarget(const Adapter& adapter,
                                               const Architecture& architecture) {
  std::map<std::string, Factors> factors;
  for (const AdapterTensor& tensor : AdapterLayout(adapter.config, architecture)) {
    Factors& both = factors[tensor.target];
    (tensor.is_a ? both.a : both.b) = adapter.parameters.data() + tensor.offset;
  }
  return factors;
}

}  // namespace

base::Result<WrittenModel> Merge(const std::filesystem::path& model,
                                 const std::filesystem::path& adapter_folder,
                                 const std::filesystem::path& output,
                                 std::optional<DataType> type) {
  if (type && BlockSize(*type) > 1) {
    return base::Fail(base::Code::kInvalidArgument,
                      "a merge cannot write " + std::string(DataTypeName(*type)) +
                          ": merge to f32, f16 or bf16, then use cloister quantize");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto source, SourceModel::Open(model));
  CLOISTER_ASSIGN_OR_RETURN(const Architecture architecture, source->architecture());
  CLOISTER_ASSIGN_OR_RETURN(const Adapter adapter, LoadAdapter(adapter_folder, architecture));
  const std::map<std::string, Factors> factors = FactorsByTarget(adapter, architecture);
  const std::int64_t rank = adapter.config.rank;
  const auto scale = static_cast<float>(adapter.config.scale());

  WritePlan plan;
  plan.title = "merge";
  plan.changes = [&](const std::string& name) { return factors.contains(name); };
  plan.type = [&](const std::string& name, const TensorView& tensor) {
    const bool loses_blocks = factors.contains(name) && BlockSize(tensor.type) > 1;
    return type.value_or(loses_blocks ? DataType::kF32 : tensor.type);
  };
  plan.change = [&](const std::string& name, std::int64_t row, std::span<float> values) {
    const Factors& both = factors.at(name);
    std::vector<float> delta(values.size());
    for (std::int64_t r = 0; r < rank; ++r) {
      const float b = both.b[row * rank + r];
      const float* a = both.a + r * static_cast<std::int64_t>(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) delta[i] += b * a[i];
    }
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += scale * delta[i];
  };
  return WriteModel(*source, output, plan);
}

}  // namespace cloister::model
