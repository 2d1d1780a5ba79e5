#include "model/convert.h"

namespace cloister::model {

base::Result<WrittenModel> Convert(const std::filesystem::path& input,
                                   const std::filesystem::path& output,
                                   std::optional<DataType> type) {
  if (type && BlockSize(*type) > 1) {
    return base::Fail(base::Code::kInvalidArgument,
                      "conversion to " + std::string(DataTypeName(*type)) +
                          " is quantization: use cloister quantize, or f32, f16, bf16 here");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto source, SourceModel::Open(input));
  WritePlan plan;
  plan.title = "convert";
  plan.type = [type](const std::string&, DataType stored) { return type.value_or(stored); };
  return WriteModel(*source, output, plan);
}

}  // namespace cloister::model
