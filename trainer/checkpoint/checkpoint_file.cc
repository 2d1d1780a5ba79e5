#include "trainer/checkpoint/checkpoint_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/file.h"
#include "security/primitives.h"

namespace cloister::trainer {
namespace {

static_assert(std::endian::native == std::endian::little);

using nlohmann::json;

constexpr std::string_view kMagic = "cloister checkpoint 1\n";
constexpr std::size_t kLargestHeader = std::size_t{256} << 20;
constexpr std::size_t kDigest = std::tuple_size_v<security::Sha256Digest>;
constexpr std::size_t kPiece = std::size_t{4} << 20;

std::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> Bytes(const std::uint64_t& number) {
  return std::as_bytes(std::span(&number, 1));
}

json ToJson(const CheckpointHeader& header, const CheckpointArrays& arrays) {
  json sizes = json::array();
  for (const auto& [name, bytes] : arrays) sizes.push_back({name, bytes.size()});
  json object = {{"step", header.step},
                 {"moved", header.moved},
                 {"recipe", header.recipe},
                 {"model_sha256", header.model_digest},
                 {"data_sha256", header.data_digest},
                 {"events", header.events},
                 {"arrays", std::move(sizes)}};
  if (header.privacy) {
    object["privacy"] = {{"job", header.privacy->job}, {"clip_norm", header.privacy->clip_norm}};
  }
  return object;
}

// Throws what the JSON library throws for a member that is absent or of another type.
CheckpointHeader FromJson(const json& object) {
  CheckpointHeader header;
  header.step = object.at("step").get<std::int64_t>();
  header.moved = object.at("moved").get<bool>();
  header.recipe = object.at("recipe").get<std::string>();
  header.model_digest = object.at("model_sha256").get<std::string>();
  header.data_digest = object.at("data_sha256").get<std::string>();
  header.events = object.at("events").get<std::string>();
  if (const auto found = object.find("privacy"); found != object.end()) {
    header.privacy = {found->at("job").get<std::string>(), found->at("clip_norm").get<double>()};
  }
  return header;
}

// A file that hashes what it is given.
class HashedFile {
 public:
  explicit HashedFile(base::AtomicFile& file) : file_(file) {}
  base::Status Write(std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += kPiece) {  // each while it is in a cache
      const auto piece = bytes.subspan(at, std::min(kPiece, bytes.size() - at));
      digest_.Update(Text(piece));
      CLOISTER_RETURN_IF_ERROR(file_.Write(piece));
    }
    return {};
  }
  base::Status Write(std::string_view text) { return Write(std::as_bytes(std::span(text))); }
  base::Status Finish() {
    const security::Sha256Digest digest = digest_.Finish();
    return file_.Write(std::as_bytes(std::span(digest)));
  }

 private:
  base::AtomicFile& file_;
  security::Sha256 digest_;
};

}  // namespace

base::Status WriteCheckpoint(const std::filesystem::path& path, const CheckpointHeader& header,
                             const CheckpointArrays& arrays) {
  const std::string text = ToJson(header, arrays).dump();
  const std::uint64_t size = text.size();
  CLOISTER_ASSIGN_OR_RETURN(base::AtomicFile file,
                            base::AtomicFile::Create(path, base::AtomicFile::kPrivateMode));
  HashedFile hashed(file);
  CLOISTER_RETURN_IF_ERROR(hashed.Write(kMagic));
  CLOISTER_RETURN_IF_ERROR(hashed.Write(Bytes(size)));
  CLOISTER_RETURN_IF_ERROR(hashed.Write(text));
  for (const auto& [name, bytes] : arrays) CLOISTER_RETURN_IF_ERROR(hashed.Write(bytes));
  CLOISTER_RETURN_IF_ERROR(hashed.Finish());
  return file.Commit();
}

base::Result<CheckpointFile> CheckpointFile::Open(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(base::MappedFile file, base::MappedFile::Open(path));
  const auto damaged = [&path](const std::string& what) {
    return base::Fail(base::Code::kDataLoss,
                      "checkpoint " + path.string() + " " + what + ": resume from another one");
  };
  std::span<const std::byte> rest = file.bytes();
  if (!Text(rest).starts_with(kMagic)) return damaged("is none of this version");
  constexpr std::size_t kBefore = kMagic.size() + sizeof(std::uint64_t);
  if (rest.size() < kBefore + kDigest) return damaged("was cut off");
  security::Sha256 hash;
  hash.Update(Text(rest.first(rest.size() - kDigest)));
  const security::Sha256Digest digest = hash.Finish();
  if (std::memcmp(digest.data(), rest.last(kDigest).data(), kDigest) != 0) {
    return damaged("was cut off or altered");
  }
  std::uint64_t size = 0;
  std::memcpy(&size, rest.data() + kMagic.size(), sizeof size);
  rest = rest.subspan(kBefore, rest.size() - kBefore - kDigest);
  if (size > std::min(rest.size(), kLargestHeader)) return damaged("has a header of no such size");
  try {
    const json object = json::parse(Text(rest.first(size)));
    rest = rest.subspan(size);
    CheckpointHeader header = FromJson(object);
    CheckpointArrays arrays;
    for (const json& array : object.at("arrays")) {
      const auto bytes = array.at(1).get<std::uint64_t>();
      if (bytes > rest.size()) return damaged("has arrays that reach beyond its end");
      arrays[array.at(0).get<std::string>()] = rest.first(bytes);
      rest = rest.subspan(bytes);
    }
    if (header.step < 0 || !rest.empty())
      return damaged("has contents that its header does not name");
    return CheckpointFile(std::move(file), std::move(header), std::move(arrays));
  } catch (const json::exception& error) {
    return damaged("has a header that cannot be read (" + std::string(error.what()) + ")");
  }
}

base::Result<std::span<const std::byte>> CheckpointFile::Array(const std::string& name,
                                                               std::size_t bytes) const {
  const std::span<const std::byte> found = Array(name);
  if (found.size() == bytes) return found;
  return base::Fail(base::Code::kDataLoss, "checkpoint: '" + name + "' has " +
                                               std::to_string(found.size()) + " bytes and not " +
                                               std::to_string(bytes) +
                                               ": it belongs to another model or recipe");
}

std::span<const std::byte> CheckpointFile::Array(const std::string& name) const {
  const auto found = arrays_.find(name);
  return found == arrays_.end() ? std::span<const std::byte>() : found->second;
}

}  // namespace cloister::trainer
