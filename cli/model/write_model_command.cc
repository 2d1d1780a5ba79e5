#include "cli/model/write_model_command.h"

namespace cloister::cli {
namespace po = boost::program_options;

namespace {

using base::Code;

base::Result<std::optional<model::DataType>> TypeFlag(const po::variables_map& values,
                                                      const std::string& types) {
  if (!values.contains("type")) return std::optional<model::DataType>();
  const std::string name = values["type"].as<std::string>();
  const base::Result<model::DataType> type = model::ParseDataType(name);
  if (type) return std::optional(*type);
  const bool known = type.error().code == Code::kUnimplemented;
  return base::Fail(type.error().code,
                    "--type " + name + (known ? " is not built yet" : " is no type of weights") +
                        ": use " + types);
}

}  // namespace

nlohmann::ordered_json Summary(const std::string& output, const model::WrittenModel& written) {
  return {{"output", output},
          {"format", written.format},
          {"tensors", written.tensors},
          {"bytes", written.bytes}};
}

base::Status RunWriter(Flags& flags, const ModelWriter& writer,
                       std::span<const std::string> arguments) {
  auto* type_value = po::value<std::string>();
  if (writer.type_required) type_value->required();
  flags.options.add_options()("output", po::value<std::string>()->required(),
                              writer.output.c_str())("type", type_value, writer.types.c_str())(
      "json", "Print the result as JSON");
  CLOISTER_ASSIGN_OR_RETURN(const auto parsed, Parse(flags, arguments));
  if (!parsed) return {};
  CLOISTER_ASSIGN_OR_RETURN(const auto type, TypeFlag(*parsed, writer.types));
  const std::string output = (*parsed)["output"].as<std::string>();
  if (output.empty()) {
    return base::Fail(Code::kInvalidArgument, "--output is empty: name what to write");
  }
  CLOISTER_ASSIGN_OR_RETURN(const model::WrittenModel written, writer.write(*parsed, output, type));
  PrintResult(writer.summary(output, written), parsed->contains("json"));
  return {};
}

}  // namespace cloister::cli
