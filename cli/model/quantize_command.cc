#include "cli/model/commands.h"
#include "cli/model/write_flags.h"
#include "model/quantize.h"

namespace cloister::cli {
namespace po = boost::program_options;

namespace {

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage = "cloister quantize --model P --output F.gguf --type q8_0|q4_0|q4_1 [--json]";
  flags.about =
      "Writes a model with quantized weights as a GGUF file (replaced if it is there), for\n"
      "cloister generate, cloister serve or llama.cpp. Matrices and embeddings are quantized, "
      "norms\n"
      "stay f32; a matrix whose rows are no multiple of 32 becomes f16. Tokenizer and chat "
      "template\n"
      "go along. q8_0 is next to lossless at 8.5 bits a weight; q4_0 and q4_1 take 4.5 and 5.\n\n"
      "  cloister quantize --model merged.gguf --output merged.Q8_0.gguf --type q8_0";
  flags.options.add_options()("model", po::value<std::string>()->required(),
                              "Model folder or .gguf file to read")(
      "output", po::value<std::string>()->required(), "File to write, ending in .gguf")(
      "type", po::value<std::string>()->required(), "q8_0, q4_0 or q4_1")(
      "calibration", po::value<std::string>(), "Text to calibrate with (not built yet)")(
      "target-bits", po::value<double>(), "Bits a weight to aim at (not built yet)")(
      "json", "Print the result as JSON");
  CLOISTER_ASSIGN_OR_RETURN(const auto parsed, Parse(flags, arguments));
  if (!parsed) return {};
  for (const char* name : {"calibration", "target-bits"}) {
    if (parsed->contains(name)) {
      return base::Fail(base::Code::kUnimplemented,
                        std::string("--") + name + " is not built yet: leave it out");
    }
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto type, TypeFlag(*parsed));
  CLOISTER_ASSIGN_OR_RETURN(const model::WrittenModel written,
                            model::QuantizeModel((*parsed)["model"].as<std::string>(),
                                                 (*parsed)["output"].as<std::string>(), *type));
  const double bits =
      8.0 * static_cast<double>(written.weight_bytes) / static_cast<double>(written.weights);
  PrintResult({{"bytes", written.bytes}, {"bits_per_weight", bits}}, parsed->contains("json"));
  return {};
}

}  // namespace

Command QuantizeCommand() { return {"quantize", "Write a model with quantized weights", Run}; }

}  // namespace cloister::cli
