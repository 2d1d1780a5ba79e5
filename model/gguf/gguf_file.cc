#include "model/gguf/gguf_file.h"

#include <bit>
#include <limits>
#include <set>

#include "model/gguf/gguf_split.h"

namespace cloister::model {
namespace {

using base::Code;

static_assert(std::endian::native == std::endian::little, "weights are mapped as they lie");

}  // namespace

base::Result<GgufFile> GgufFile::Read(std::span<const std::byte> bytes,
                                      const std::filesystem::path& path) {
  base::Result<GgufContents> contents = ReadGguf(bytes);
  if (!contents) return base::Annotate(std::move(contents), path.string());
  return GgufFile(path, *std::move(contents));
}

base::Result<GgufFile> GgufFile::OpenOne(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(base::MappedFile mapped, base::MappedFile::Open(path));
  CLOISTER_ASSIGN_OR_RETURN(GgufFile file, Read(mapped.bytes(), path));
  file.files_.push_back(std::move(mapped));
  return file;
}

base::Result<GgufFile> GgufFile::Open(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(GgufFile file, OpenOne(path));
  CLOISTER_ASSIGN_OR_RETURN(const auto count, file.Integer(kSplitCountKey));
  if (count.value_or(1) == 1) return file;
  return OpenParts(std::move(file), *count);
}

base::Result<GgufFile> GgufFile::OpenParts(GgufFile given, std::int64_t count) {
  const std::filesystem::path path = given.path_;
  std::optional<GgufPartName> name = GgufPartName::Of(path);
  if (!name || name->count != count) {
    return base::Fail(Code::kDataLoss,
                      path.string() + " says that it is one of " + std::to_string(count) +
                          " files: give them back names like model-00001-of-00003.gguf");
  }
  GgufFile all(path, {});
  std::set<std::string> names;
  std::optional<std::int64_t> tensors;
  for (std::int64_t i = 0; i < count; ++i) {
    name->number = i + 1;
    base::Result<GgufFile> part = OpenOne(name->path());
    if (!part) {
      return base::Annotate(std::move(part), "file " + std::to_string(i + 1) + " of the " +
                                                 std::to_string(count) + " of the model");
    }
    CLOISTER_ASSIGN_OR_RETURN(const auto own_number, part->Integer(kSplitNumberKey));
    CLOISTER_ASSIGN_OR_RETURN(const auto own_count, part->Integer(kSplitCountKey));
    if (own_number != i || own_count != count) {
      return base::Fail(Code::kDataLoss, part->path_.string() +
                                             " is another part than its name says: give the files "
                                             "their names back or fetch them again");
    }
    for (GgufEntry& entry : part->contents_.entries) {
      if (!names.insert(entry.name).second) {
        return base::Fail(Code::kDataLoss, part->path_.string() + ": tensor " + entry.name +
                                               " is in another file of the model too: fetch them "
                                               "again");
      }
      all.contents_.entries.push_back(std::move(entry));
    }
    if (i == 0) {
      CLOISTER_ASSIGN_OR_RETURN(tensors, part->Integer(kSplitTensorsKey));
      all.contents_.metadata = std::move(part->contents_.metadata);
    }
    all.files_.push_back(std::move(part->files_[0]));
  }
  if (tensors && *tensors != static_cast<std::int64_t>(names.size())) {
    return base::Fail(Code::kDataLoss, path.string() + " and the other files of the model have " +
                                           std::to_string(names.size()) + " tensors, not " +
                                           std::to_string(*tensors) + ": fetch them again");
  }
  return all;
}

tl::unexpected<base::Error> GgufFile::WrongType(std::string_view key, const char* wanted) const {
  return base::Fail(Code::kDataLoss,
                    path_.string() + ": key " + std::string(key) + " must be " + wanted);
}

base::Result<std::optional<std::int64_t>> GgufFile::Integer(std::string_view key) const {
  const auto found = contents_.metadata.find(key);
  if (found == contents_.metadata.end()) return std::optional<std::int64_t>();
  if (const auto* value = std::get_if<std::int64_t>(&found->second)) return std::optional(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&found->second);
      value != nullptr &&
      *value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::optional(static_cast<std::int64_t>(*value));
  }
  return WrongType(key, "an integer");
}

base::Result<std::optional<double>> GgufFile::Number(std::string_view key) const {
  const auto found = contents_.metadata.find(key);
  if (found == contents_.metadata.end()) return std::optional<double>();
  if (const auto* value = std::get_if<double>(&found->second)) return std::optional(*value);
  return WrongType(key, "a floating point number");
}

base::Result<std::optional<bool>> GgufFile::Bool(std::string_view key) const {
  const auto found = contents_.metadata.find(key);
  if (found == contents_.metadata.end()) return std::optional<bool>();
  if (const auto* value = std::get_if<bool>(&found->second)) return std::optional(*value);
  return WrongType(key, "true or false");
}

base::Result<std::optional<std::string>> GgufFile::String(std::string_view key) const {
  const auto found = contents_.metadata.find(key);
  if (found == contents_.metadata.end()) return std::optional<std::string>();
  if (const auto* value = std::get_if<std::string_view>(&found->second)) {
    return std::optional(std::string(*value));
  }
  return WrongType(key, "a string");
}

base::Result<const GgufStrings*> GgufFile::Strings(std::string_view key) const {
  const auto found = contents_.metadata.find(key);
  if (found == contents_.metadata.end()) return static_cast<const GgufStrings*>(nullptr);
  if (const auto* value = std::get_if<GgufStrings>(&found->second)) return value;
  return WrongType(key, "a list of strings");
}

base::Result<const GgufIntegers*> GgufFile::Integers(std::string_view key) const {
  const auto found = contents_.metadata.find(key);
  if (found == contents_.metadata.end()) return static_cast<const GgufIntegers*>(nullptr);
  if (const auto* value = std::get_if<GgufIntegers>(&found->second)) return value;
  return WrongType(key, "a list of integers");
}

}  // namespace cloister::model
