#include "cli/model/write_flags.h"

namespace cloister::cli {

base::Result<std::optional<model::DataType>> TypeFlag(
    const boost::program_options::variables_map& values) {
  if (!values.contains("type")) return std::optional<model::DataType>();
  base::Result<model::DataType> type = model::ParseDataType(values["type"].as<std::string>());
  if (!type) return base::Annotate(std::move(type), "--type");
  return std::optional(*type);
}

nlohmann::ordered_json Summary(const std::string& output, const model::WrittenModel& written) {
  return {{"output", output},
          {"format", written.format},
          {"tensors", written.tensors},
          {"bytes", written.bytes}};
}

}  // namespace cloister::cli
