#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

namespace cloister::testing {

inline std::filesystem::path ChatData() {
  return std::filesystem::path(CLOISTER_TEST_DATA) / "chat";
}

// The folders of renderings of another implementation: tests/data/chat, and chat under
// $CLOISTER_FIXTURES where that is set.
inline std::set<std::filesystem::path> ChatFolders() {
  std::set<std::filesystem::path> folders = {ChatData()};
  const char* more = std::getenv("CLOISTER_FIXTURES");
  if (more != nullptr && std::filesystem::exists(std::filesystem::path(more) / "chat")) {
    folders.insert(std::filesystem::path(more) / "chat");
  }
  return folders;
}

inline std::string ReadText(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline nlohmann::ordered_json ReadJson(const std::filesystem::path& path) {
  return nlohmann::ordered_json::parse(ReadText(path));
}

}  // namespace cloister::testing
