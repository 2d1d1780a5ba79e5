#include "cli/model/commands.h"
#include "cli/model/write_model_command.h"
#include "model/quantize.h"

namespace cloister::cli {
namespace po = boost::program_options;

namespace {

base::Result<model::WrittenModel> Write(const po::variables_map& values, const std::string& output,
                                        std::optional<model::DataType> type) {
  for (const char* name : {"calibration", "target-bits"}) {
    if (values.contains(name)) {
      return base::Fail(base::Code::kUnimplemented,
                        std::string("--") + name + " is not built yet: leave it out");
    }
  }
  return model::QuantizeModel(values["model"].as<std::string>(), output, *type);
}

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage =
      "cloister quantize --model P --output F.gguf --type "
      "q8_0|q6_k|q5_k|q4_k|q5_1|q5_0|q4_1|q4_0 [--json]";
  flags.about =
      "Writes a model with quantized weights as a GGUF file (replaced if it is there), for\n"
      "cloister generate, cloister serve or llama.cpp. Matrices and embeddings are quantized, "
      "norms\n"
      "stay f32. Tokenizer and chat template go along. Bits a weight: q8_0 8.5 (next to "
      "lossless),\n"
      "q6_k 6.56, q5_k 5.5, q4_k 4.5, q5_1 6, q5_0 5.5, q4_1 5, q4_0 4.5. The k types want rows "
      "of\n"
      "whole blocks of 256; other matrices take q5_0 for q4_k, q5_1 for q5_k and q8_0 for q6_k. A\n"
      "matrix whose rows are no multiple of 32 becomes f16.\n\n"
      "  cloister quantize --model merged.gguf --output merged.Q8_0.gguf --type q8_0";
  flags.options.add_options()("model", po::value<std::string>()->required(),
                              "Model folder or .gguf file to read")(
      "calibration", po::value<std::string>(), "Text to calibrate with (not built yet)")(
      "target-bits", po::value<double>(), "Bits a weight to aim at (not built yet)");
  ModelWriter writer;
  writer.output = "File to write, ending in .gguf";
  writer.types = "q8_0, q6_k, q5_k, q4_k, q5_1, q5_0, q4_1 or q4_0";
  writer.type_required = true;
  writer.write = Write;
  writer.summary = [](const std::string&, const model::WrittenModel& written) {
    const double bits =
        8.0 * static_cast<double>(written.weight_bytes) / static_cast<double>(written.weights);
    return nlohmann::ordered_json{{"bytes", written.bytes}, {"bits_per_weight", bits}};
  };
  return RunWriter(flags, writer, arguments);
}

}  // namespace

Command QuantizeCommand() { return {"quantize", "Write a model with quantized weights", Run}; }

}  // namespace cloister::cli
