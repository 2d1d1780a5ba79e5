#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "security/primitives.h"

namespace cloister::security {

inline nlohmann::json ReadVectors(const std::string& name) {
  std::ifstream file(std::string(CLOISTER_TEST_DATA) + "/wycheproof/" + name);
  EXPECT_TRUE(file.good()) << name;
  return nlohmann::json::parse(file);
}

inline std::vector<std::uint8_t> Bytes(const nlohmann::json& row, const char* field) {
  auto bytes = ParseHex(row.at(field).get<std::string>());
  EXPECT_TRUE(bytes.has_value()) << field;
  return bytes ? *bytes : std::vector<std::uint8_t>();
}

inline SecretBytes Secret(const nlohmann::json& row, const char* field) {
  return SecretBytes(Bytes(row, field));
}

// What a row is called in a failure.
inline std::string Name(const nlohmann::json& row) {
  return "tcId " + std::to_string(row.at("tcId").get<int>()) + ": " +
         row.at("comment").get<std::string>();
}

}  // namespace cloister::security
