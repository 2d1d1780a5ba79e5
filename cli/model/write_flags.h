#pragma once

#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "model/tensor.h"
#include "model/write_model.h"

namespace cloister::cli {

// The value of --type, an empty optional when it was not given.
base::Result<std::optional<model::DataType>> TypeFlag(
    const boost::program_options::variables_map& values);

// What convert and merge print of their result.
nlohmann::ordered_json Summary(const std::string& output, const model::WrittenModel& written);

}  // namespace cloister::cli
