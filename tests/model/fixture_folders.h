#pragma once

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

namespace cloister::fixtures {

// The tiny models with values of another implementation: the folders under tests/data/models and
// under $CLOISTER_FIXTURES/models that hold a golden.safetensors.
inline std::set<std::filesystem::path> FixtureFolders() {
  std::set<std::filesystem::path> roots = {std::filesystem::path(CLOISTER_TEST_DATA) / "models"};
  if (const char* more = std::getenv("CLOISTER_FIXTURES")) {
    roots.insert(std::filesystem::path(more) / "models");
  }
  std::set<std::filesystem::path> folders;
  for (const std::filesystem::path& root : roots) {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(root, none)) {
      if (std::filesystem::exists(entry.path() / "golden.safetensors")) {
        folders.insert(entry.path());
      }
    }
  }
  return folders;
}

// Letters and digits of a test's name for the folder: of its root and its own name.
inline std::string FixtureName(const std::filesystem::path& folder) {
  std::string name =
      folder.parent_path().parent_path().filename().string() + "_" + folder.filename().string();
  for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
  return name;
}

}  // namespace cloister::fixtures
