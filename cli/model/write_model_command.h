#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "cli/command.h"
#include "model/tensor.h"
#include "model/write_model.h"

namespace cloister::cli {

// What convert, merge and quantize print of their result unless they say otherwise.
nlohmann::ordered_json Summary(const std::string& output, const model::WrittenModel& written);

// A command that writes a model: it has --output, --type and --json besides flags of its own.
struct ModelWriter {
  std::string output;  // what --output says of itself
  std::string types;   // the values of --type: "f32, f16 or bf16"
  bool type_required = false;
  std::function<base::Result<model::WrittenModel>(const boost::program_options::variables_map&,
                                                  const std::string& output,
                                                  std::optional<model::DataType>)>
      write;
  std::function<nlohmann::ordered_json(const std::string& output, const model::WrittenModel&)>
      summary = Summary;
};

// Adds the writer's flags to `flags`, parses `arguments`, writes and prints the summary.
// kInvalidArgument, naming the flag, for an empty --output and a --type that is not known.
base::Status RunWriter(Flags& flags, const ModelWriter& writer,
                       std::span<const std::string> arguments);

}  // namespace cloister::cli
