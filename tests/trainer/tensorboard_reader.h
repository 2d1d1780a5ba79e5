#pragma once

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>

#include "base/file.h"

namespace cloister::trainer {

using Scalar = std::tuple<std::string, std::int64_t, float>;  // tag, step, value

// CRC-32C bit by bit, masked as record files have it.
inline std::uint32_t SlowMaskedCrc(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0);
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

template <typename T>
T Take(std::string_view& file) {
  T value{};
  EXPECT_GE(file.size(), sizeof value);
  std::memcpy(&value, file.data(), std::min(sizeof value, file.size()));
  file.remove_prefix(std::min(sizeof value, file.size()));
  return value;
}

// As much of TensorFlow's event.proto and summary.proto as scalars need.
inline constexpr const char* kSchema = R"(syntax = "proto2";
message Value { optional string tag = 1; optional float simple_value = 2; }
message Summary { repeated Value value = 1; }
message Event {
  optional double wall_time = 1;
  optional int64 step = 2;
  optional string file_version = 3;
  optional Summary summary = 5;
}
)";

// An Event as protoc prints it.
inline std::string Decoded(std::string_view message, const std::filesystem::path& folder) {
  EXPECT_TRUE(base::WriteFile(folder / "event.proto", kSchema));
  EXPECT_TRUE(base::WriteFile(folder / "message", message));
  const std::string command =
      "cd " + folder.string() + " && protoc --decode=Event event.proto <message";
  FILE* const pipe = ::popen(command.c_str(), "r");
  std::string text;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) text.push_back(static_cast<char>(c));
  EXPECT_EQ(::pclose(pipe), 0);
  return text;
}

// Reads a TensorBoard event file by protoc and code that shares nothing with the writer's. What is
// not as it should be is a failure of the test that asks. `folder`: for a file of its own.
inline std::multiset<Scalar> ReadTensorBoard(const std::string& text,
                                             const std::filesystem::path& folder) {
  std::multiset<Scalar> scalars;
  std::string_view file = text;
  for (bool first = true; !file.empty(); first = false) {
    const std::string_view length = file.substr(0, 8);
    const auto size = Take<std::uint64_t>(file);
    EXPECT_EQ(Take<std::uint32_t>(file), SlowMaskedCrc(length));
    if (size > file.size()) {
      ADD_FAILURE() << "a record that is longer than its file";
      return scalars;
    }
    const std::string_view message = file.substr(0, size);
    file.remove_prefix(size);
    EXPECT_EQ(Take<std::uint32_t>(file), SlowMaskedCrc(message));
    const std::string decoded = Decoded(message, folder);
    if (first) {
      EXPECT_NE(decoded.find("file_version: \"brain.Event:2\""), std::string::npos) << decoded;
      continue;
    }
    std::smatch match;
    const std::regex form(
        "wall_time: ([0-9]+)\nstep: ([0-9]+)\nsummary \\{\n  value \\{\n    tag: \"([a-z_/]+)\"\n"
        "    simple_value: ([-+.0-9e]+)\n  \\}\n\\}\n");
    if (!std::regex_match(decoded, match, form)) {
      ADD_FAILURE() << "no scalar: " << decoded;
      continue;
    }
    EXPECT_EQ(match[1], match[2]);  // no time of day
    scalars.emplace(match[3], std::stoll(match[2]), std::stof(match[4]));
  }
  return scalars;
}

}  // namespace cloister::trainer
