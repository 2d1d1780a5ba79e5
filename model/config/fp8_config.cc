#include "model/config/fp8_config.h"

#include <array>
#include <string>
#include <string_view>

#include "model/config/config_fields.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

constexpr std::int64_t kLargestBlock = 1 << 16;

base::Result<Fp8Config> Read(const json& object) {
  ConfigFields fields(object);
  CLOISTER_ASSIGN_OR_RETURN(const auto method, fields.String("quant_method"));
  if (method.value_or("") != "fp8") {
    return base::Fail(Code::kUnimplemented,
                      "quantization_config.quant_method '" + method.value_or("") +
                          "' is not supported: fp8 is; otherwise use the unquantized model or a "
                          "GGUF");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto format, fields.String("fmt"));
  if (format.value_or("e4m3") != "e4m3") {
    return base::Fail(Code::kUnimplemented,
                      "quantization_config.fmt '" + *format + "' is not supported: e4m3 is");
  }
  const json block = fields.Value("weight_block_size");
  const bool pair = block.is_array() && block.size() == 2 && block[0].is_number_integer() &&
                    block[1].is_number_integer();
  Fp8Config result;
  if (pair) {
    result = {block[0].get<std::int64_t>(), block[1].get<std::int64_t>()};
  }
  const auto fits = [](std::int64_t size) { return size >= 1 && size <= kLargestBlock; };
  if (!fits(result.block_rows) || !fits(result.block_columns)) {
    return base::Fail(Code::kDataLoss,
                      "quantization_config.weight_block_size must be two sizes in 1 … 65536");
  }
  // Of activations, and of modules whose tensors show by themselves what they are.
  static constexpr std::array<std::string_view, 5> kWithoutEffect = {
      "activation_scheme", "scale_fmt", "modules_to_not_convert", "ignored_layers", "dequantize"};
  fields.Ignore(kWithoutEffect);
  CLOISTER_RETURN_IF_ERROR(fields.RefuseUnknown("quantization_config."));
  return result;
}

}  // namespace

base::Result<std::optional<Fp8Config>> Fp8FromConfig(const json& config) {
  const auto found = config.find("quantization_config");
  if (found == config.end() || found->is_null()) return std::optional<Fp8Config>();
  if (!found->is_object()) {
    return base::Fail(Code::kDataLoss, "field quantization_config must be an object");
  }
  CLOISTER_ASSIGN_OR_RETURN(const Fp8Config fp8, Read(*found));
  return std::optional(fp8);
}

}  // namespace cloister::model
