#include "model/quantize.h"

namespace cloister::model {

base::Result<WrittenModel> QuantizeModel(const std::filesystem::path& model,
                                         const std::filesystem::path& output, DataType type) {
  if (!IsBlockType(type)) {
    return base::Fail(base::Code::kInvalidArgument,
                      std::string(DataTypeName(type)) +
                          " is no quantized type: use q8_0, q6_k, q5_k, q4_k, q5_1, q5_0, q4_1 or "
                          "q4_0, or cloister model convert");
  }
  if (output.extension() != ".gguf") {
    return base::Fail(base::Code::kInvalidArgument, "the output " + output.string() +
                                                        " must end in .gguf: only GGUF holds "
                                                        "quantized weights");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto source, SourceModel::Open(model));
  WritePlan plan;
  plan.title = "quantize";
  plan.type = [type](const std::string&, DataType) { return type; };
  return WriteModel(*source, output, plan);
}

}  // namespace cloister::model
