#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dp/mechanism/event.h"

namespace cloister::dp {

// The files accounting*.json under tests/data/accounting and under $CLOISTER_FIXTURES.
inline std::vector<nlohmann::json> ReferenceFigures() {
  std::vector<std::filesystem::path> folders = {std::string(CLOISTER_TEST_DATA) + "/accounting"};
  if (const char* more = std::getenv("CLOISTER_FIXTURES")) folders.emplace_back(more);
  std::vector<nlohmann::json> read;
  for (const std::filesystem::path& folder : folders) {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
      const std::string name = entry.path().filename().string();
      if (name.rfind("accounting", 0) != 0 || entry.path().extension() != ".json") continue;
      std::ifstream file(entry.path());
      read.push_back(nlohmann::json::parse(file));
    }
  }
  return read;
}

// The events of a row of "profiles".
inline std::vector<Event> EventsOfProfile(const nlohmann::json& row) {
  const std::string name = row.at("mechanism");
  const Neighbours neighbours = *ParseNeighbours(row.at("neighbours").get<std::string>());
  if (name == "gaussian 1.2 q .02 x500 then gaussian 4.0 x20") {
    return {{1.2, 0.02, 500, neighbours}, {4.0, 1, 20, neighbours}};
  }
  Event event{0, row.value("sampling_rate", 1.0), row.value("steps", std::int64_t{1}), neighbours};
  const double sensitivity = row.value("sensitivity", 1.0);
  if (name == "gaussian") {
    event.noise_multiplier = row.at("noise_multiplier");
  } else if (name == "laplace") {
    event.mechanism = Mechanism::kLaplace;
    event.noise_multiplier = row.at("scale").get<double>() / sensitivity;
  } else {
    event.mechanism = Mechanism::kDiscreteGaussian;
    event.noise_multiplier = row.at("sigma").get<double>() / sensitivity;
    event.sensitivity = sensitivity;
  }
  return {event};
}

}  // namespace cloister::dp
