#include "cli/model/commands.h"
#include "cli/model/write_model_command.h"
#include "model/convert.h"

namespace cloister::cli {
namespace po = boost::program_options;

namespace {

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage = "cloister model convert --input P --output P [--type f32|f16|bf16] [--json]";
  flags.about =
      "Writes a model in another format: an output ending in .gguf is a GGUF file (replaced if it\n"
      "is there), any other a new Hugging Face folder. Tokenizer and chat template go along.\n"
      "Without --type each tensor keeps its type where the format can hold it: quantized blocks\n"
      "become f32 in a folder, norms are f32 in GGUF. --type f32 dequantizes everything.\n\n"
      "  cloister model convert --input SmolLM2.Q4_1.gguf --output smollm2 --type f16\n"
      "  cloister model convert --input smollm2 --output smollm2.gguf";
  flags.options.add_options()("input", po::value<std::string>()->required(),
                              "Model folder or .gguf file to read");
  ModelWriter writer;
  writer.output = "Folder or .gguf file to write";
  writer.types = "f32, f16 or bf16";
  writer.write = [](const po::variables_map& values, const std::string& output, auto type) {
    return model::Convert(values["input"].as<std::string>(), output, type);
  };
  return RunWriter(flags, writer, arguments);
}

}  // namespace

Command ConvertCommand() { return {"model convert", "Write a model in another format", Run}; }

}  // namespace cloister::cli
