#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "model/gguf/gguf_contents.h"
#include "model/gguf/gguf_types.h"
#include "model/gguf/gguf_value.h"

namespace cloister::model {

// A mapped GGUF file, or all the files of a model that is split. Immutable and thread-safe after
// Open, which checks what ReadGguf checks.
class GgufFile {
 public:
  using Entry = GgufEntry;

  // `path` may be any file of a split model (STEM-00002-of-00003.gguf): all are opened. kNotFound
  // when one is absent; kDataLoss, naming file and place, when one is malformed or they do not
  // belong together; kUnimplemented for a version or byte order that is not supported.
  static base::Result<GgufFile> Open(const std::filesystem::path& path);
  // One file that is in memory, which must outlive this object; errors name it `path`.
  static base::Result<GgufFile> Read(std::span<const std::byte> bytes,
                                     const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  // See ModelFiles.
  void ReleasePages() const {
    for (const base::MappedFile& file : files_) file.ReleasePages();
  }
  const std::vector<Entry>& entries() const { return contents_.entries; }
  // Of the first file.
  const GgufValues& metadata() const { return contents_.metadata; }

  // A metadata value; an empty optional when absent, kDataLoss naming the key when of another type.
  base::Result<std::optional<std::int64_t>> Integer(std::string_view key) const;
  base::Result<std::optional<double>> Number(std::string_view key) const;
  base::Result<std::optional<bool>> Bool(std::string_view key) const;
  base::Result<std::optional<std::string>> String(std::string_view key) const;
  // Null when absent.
  base::Result<const GgufStrings*> Strings(std::string_view key) const;
  base::Result<const GgufIntegers*> Integers(std::string_view key) const;

 private:
  GgufFile(std::filesystem::path path, GgufContents contents)
      : path_(std::move(path)), contents_(std::move(contents)) {}
  static base::Result<GgufFile> OpenOne(const std::filesystem::path& path);
  static base::Result<GgufFile> OpenParts(GgufFile given, std::int64_t count);
  tl::unexpected<base::Error> WrongType(std::string_view key, const char* wanted) const;

  std::filesystem::path path_;
  std::vector<base::MappedFile> files_;
  GgufContents contents_;
};

}  // namespace cloister::model
