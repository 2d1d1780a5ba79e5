#include "cli/model/commands.h"
#include "cli/model/write_model_command.h"
#include "model/merge.h"

namespace cloister::cli {
namespace po = boost::program_options;

namespace {

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage =
      "cloister model merge --model P --adapter DIR --output P [--type f32|f16|bf16] [--json]";
  flags.about =
      "Merges a LoRA adapter (a PEFT folder: adapter_config.json and adapter_model.safetensors)\n"
      "into the model it was trained on and writes the whole model: a GGUF file where the output\n"
      "ends in .gguf (replaced if it is there), a new Hugging Face folder otherwise. Without\n"
      "--type tensors keep their type; a merged tensor that was quantized becomes f32.\n\n"
      "  cloister model merge --model SmolLM2.Q4_1.gguf --adapter runs/a/adapter \\\n"
      "    --output merged.gguf --type f32";
  flags.options.add_options()("model", po::value<std::string>()->required(),
                              "Model folder or .gguf file that the adapter belongs to")(
      "adapter", po::value<std::string>()->required(), "PEFT adapter folder");
  ModelWriter writer;
  writer.output = "Folder or .gguf file to write";
  writer.types = "f32, f16 or bf16";
  writer.write = [](const po::variables_map& values, const std::string& output, auto type) {
    return model::Merge(values["model"].as<std::string>(), values["adapter"].as<std::string>(),
                        output, type);
  };
  return RunWriter(flags, writer, arguments);
}

}  // namespace

Command MergeCommand() { return {"model merge", "Merge a LoRA adapter into its model", Run}; }

}  // namespace cloister::cli
