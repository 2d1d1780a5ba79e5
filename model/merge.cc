#include "model/merge.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "model/peft/adapter_changes.h"

namespace cloister::model {
namespace {

// One weight's factors in fp32, so that row i of the change is the sum over r of
// left[i, r] * right[r].
struct Factors {
  std::int64_t rank = 0;
  float scale = 0;
  std::vector<float> left;   // [rows, rank]
  std::vector<float> right;  // [rank, columns]
};

std::vector<float> Transposed(const std::vector<float>& matrix, std::int64_t rows,
                              std::int64_t columns) {
  std::vector<float> result(matrix.size());
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      result[static_cast<std::size_t>(j * rows + i)] =
          matrix[static_cast<std::size_t>(i * columns + j)];
    }
  }
  return result;
}

Factors FactorsOf(const LowRankChange& change) {
  Factors factors = {change.rank, static_cast<float>(change.scale), change.B(), change.A()};
  if (!change.embedding) return factors;
  // (B A)^T = A^T B^T.
  std::vector<float> left = Transposed(factors.right, change.a.rows(), change.a.row_elements());
  factors.right = Transposed(factors.left, change.b.rows(), change.b.row_elements());
  factors.left = std::move(left);
  return factors;
}

// Applies the changes row by row, one weight after the other. Thread-safe.
class RowChanger {
 public:
  explicit RowChanger(const AdapterChanges& changes) : changes_(changes) {}

  void Change(const std::string& tensor, std::int64_t row, std::span<float> values) {
    const auto replaced = changes_.replaced.find(tensor);
    if (replaced != changes_.replaced.end()) DequantizeRow(replaced->second, row, values.data());
    const auto change = changes_.low_rank.find(tensor);
    if (change == changes_.low_rank.end()) return;
    const std::shared_ptr<const Factors> factors = Load(tensor, change->second);
    std::vector<float> delta(values.size());
    for (std::int64_t r = 0; r < factors->rank; ++r) {
      const float left = factors->left[static_cast<std::size_t>(row * factors->rank + r)];
      const float* right = factors->right.data() + r * static_cast<std::int64_t>(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) delta[i] += left * right[i];
    }
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += factors->scale * delta[i];
  }

 private:
  // Only one weight's factors are held.
  std::shared_ptr<const Factors> Load(const std::string& tensor, const LowRankChange& change) {
    const std::lock_guard lock(mutex_);
    if (loaded_ != tensor) {
      factors_ = std::make_shared<const Factors>(FactorsOf(change));
      loaded_ = tensor;
    }
    return factors_;
  }

  const AdapterChanges& changes_;
  std::mutex mutex_;
  std::string loaded_;
  std::shared_ptr<const Factors> factors_;
};

bool IsRoutedExpert(const std::string& tensor) {
  return tensor.find(".mlp.experts.") != std::string::npos;
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
  CLOISTER_ASSIGN_OR_RETURN(const AdapterChanges changes,
                            ReadAdapterChanges(adapter_folder, architecture));
  RowChanger changer(changes);
  // Experts may be written as one stack of one type.
  const bool changes_experts =
      std::any_of(changes.low_rank.begin(), changes.low_rank.end(),
                  [](const auto& change) { return IsRoutedExpert(change.first); });

  WritePlan plan;
  plan.title = "merge";
  plan.changes = [&](const std::string& name) { return changes.Changes(name); };
  plan.type = [&](const std::string& name, DataType stored) {
    const bool changed = changes.Changes(name) || (changes_experts && IsRoutedExpert(name));
    return type.value_or(changed && IsBlockType(stored) ? DataType::kF32 : stored);
  };
  plan.change = [&](const std::string& name, std::int64_t row, std::span<float> values) {
    changer.Change(name, row, values);
  };
  return WriteModel(*source, output, plan);
}

}  // namespace cloister::model
