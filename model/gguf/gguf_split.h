#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace cloister::model {

// A model in several GGUF files, as llama.cpp's gguf-split names and marks them: the first has the
// metadata, each has these three keys and some of the tensors.
inline constexpr char kSplitNumberKey[] = "split.no";  // from 0
inline constexpr char kSplitCountKey[] = "split.count";
inline constexpr char kSplitTensorsKey[] = "split.tensors.count";  // in all files

inline constexpr std::int64_t kMaxParts = 65535;  // the keys have 16 bits

// STEM-00002-of-00003.gguf, number from 1.
struct GgufPartName {
  std::filesystem::path stem;  // with its folder
  std::int64_t number = 0;
  std::int64_t count = 0;

  // None where `path` is not named so.
  static std::optional<GgufPartName> Of(const std::filesystem::path& path);
  std::filesystem::path path() const;
};

}  // namespace cloister::model
