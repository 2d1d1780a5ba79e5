#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "model/gguf_types.h"
#include "model/tensor.h"

namespace cloister::model {

// Arrays of GGUF metadata. Strings are views into the mapped file.
using GgufStrings = std::vector<std::string_view>;
using GgufIntegers = std::vector<std::int64_t>;
using GgufFloats = std::vector<double>;
using GgufValue = std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view,
                               GgufStrings, GgufIntegers, GgufFloats>;

// One mapped GGUF file of version 2 or 3. Immutable and thread-safe after Open, which checks every
// count, length, offset and alignment, and that no two tensors overlap.
class GgufFile {
 public:
  struct Entry {
    std::string name;  // GGUF's: blk.0.attn_q.weight
    TensorView view;   // shape outermost first, the reverse of the file's order
    // Why the tensor cannot be read, empty when it can: its type is not supported. Then the view
    // has a shape alone: no type and no data.
    std::string unsupported;
  };

  // kNotFound when absent; kDataLoss, naming file and place, when malformed; kUnimplemented for a
  // version or byte order that is not supported.
  static base::Result<GgufFile> Open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<Entry>& entries() const { return entries_; }
  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }

  // A metadata value; an empty optional when absent, kDataLoss naming the key when of another type.
  base::Result<std::optional<std::int64_t>> Integer(std::string_view key) const;
  base::Result<std::optional<double>> Number(std::string_view key) const;
  base::Result<std::optional<bool>> Bool(std::string_view key) const;
  base::Result<std::optional<std::string>> String(std::string_view key) const;
  // Null when absent.
  base::Result<const GgufStrings*> Strings(std::string_view key) const;
  base::Result<const GgufIntegers*> Integers(std::string_view key) const;

 private:
  GgufFile(base::MappedFile file, std::filesystem::path path)
      : file_(std::move(file)), path_(std::move(path)) {}
  base::Status Read();
  tl::unexpected<base::Error> WrongType(std::string_view key, const char* wanted) const;

  base::MappedFile file_;
  std::filesystem::path path_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::vector<Entry> entries_;
};

}  // namespace cloister::model
