#include "trainer/checkpoint/checkpoint_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/file.h"
#include "base/json.h"
#include "security/primitives.h"

namespace cloister::trainer {
namespace {

static_assert(std::endian::native == std::endian::little);

using nlohmann::json;

constexpr std::string_view kAnyVersion = "cloister checkpoint ";
constexpr std::string_view kMagic = "cloister checkpoint 1\n";
constexpr std::size_t kLargestHeader = std::size_t{256} << 20;
constexpr std::size_t kDigest = std::tuple_size_v<security::Sha256Digest>;
constexpr std::size_t kTag = kDigest;
constexpr int kDepth = 4;  // of the header's JSON
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
                 {"evaluated", header.evaluated},
                 {"arrays", std::move(sizes)}};
  if (header.privacy) {
    object["privacy"] = {{"job", header.privacy->job}, {"clip_norm", header.privacy->clip_norm}};
  }
  if (header.best) object["best"] = {{"step", header.best->step}, {"loss", header.best->loss}};
  return object;
}

// -2 for what is no whole number, which would be cast to anything.
std::int64_t Whole(const json& number) {
  return number.is_number_integer() ? number.get<std::int64_t>() : -2;
}

// Throws what the JSON library throws for a member that is absent or of another type.
CheckpointHeader FromJson(const json& object) {
  CheckpointHeader header;
  header.step = Whole(object.at("step"));
  header.moved = object.at("moved").get<bool>();
  header.recipe = object.at("recipe").get<std::string>();
  header.model_digest = object.at("model_sha256").get<std::string>();
  header.data_digest = object.at("data_sha256").get<std::string>();
  header.events = object.at("events").get<std::string>();
  header.evaluated = Whole(object.at("evaluated"));
  if (const auto found = object.find("privacy"); found != object.end()) {
    header.privacy = {found->at("job").get<std::string>(), found->at("clip_norm").get<double>()};
  }
  if (const auto found = object.find("best"); found != object.end()) {
    header.best = {Whole(found->at("step")), found->at("loss").get<double>()};
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
  base::Status Finish(const security::SecretBytes* key) {
    const security::Sha256Digest digest = digest_.Finish();
    CLOISTER_RETURN_IF_ERROR(file_.Write(std::as_bytes(std::span(digest))));
    const security::Sha256Digest tag =
        key == nullptr ? security::Sha256Digest{} : security::HmacSha256(key->bytes(), digest);
    return file_.Write(std::as_bytes(std::span(tag)));
  }

 private:
  base::AtomicFile& file_;
  security::Sha256 digest_;
};

}  // namespace

base::Status WriteCheckpoint(const std::filesystem::path& path, const CheckpointHeader& header,
                             const CheckpointArrays& arrays, const security::SecretBytes* key) {
  const std::string text = ToJson(header, arrays).dump();
  const std::uint64_t size = text.size();
  if (size > kLargestHeader) {
    return base::Fail(base::Code::kResourceExhausted,
                      "checkpoint " + path.string() + ": the run's events are too many to keep");
  }
  CLOISTER_ASSIGN_OR_RETURN(base::AtomicFile file,
                            base::AtomicFile::Create(path, base::AtomicFile::kPrivateMode));
  HashedFile hashed(file);
  CLOISTER_RETURN_IF_ERROR(hashed.Write(kMagic));
  CLOISTER_RETURN_IF_ERROR(hashed.Write(Bytes(size)));
  CLOISTER_RETURN_IF_ERROR(hashed.Write(text));
  for (const auto& [name, bytes] : arrays) CLOISTER_RETURN_IF_ERROR(hashed.Write(bytes));
  CLOISTER_RETURN_IF_ERROR(hashed.Finish(key));
  return file.Commit();
}

base::Result<CheckpointFile> CheckpointFile::Open(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(base::MappedFile file, base::MappedFile::Open(path));
  const auto damaged = [&path](const std::string& what) {
    return base::Fail(base::Code::kDataLoss,
                      "checkpoint " + path.string() + " " + what + ": resume from another one");
  };
  std::span<const std::byte> rest = file.bytes();
  if (!Text(rest).starts_with(kMagic)) {
    if (!Text(rest).starts_with(kAnyVersion)) return damaged("is no checkpoint");
    return base::Fail(base::Code::kUnimplemented,
                      "checkpoint " + path.string() +
                          " is of another version of Cloister: go on with the one that wrote it");
  }
  constexpr std::size_t kBefore = kMagic.size() + sizeof(std::uint64_t);
  constexpr std::size_t kAfter = kDigest + kTag;
  if (rest.size() < kBefore + kAfter) return damaged("was cut off");
  const security::Sha256Digest digest = security::HashBytes(
      {reinterpret_cast<const std::uint8_t*>(rest.data()), rest.size() - kAfter});
  if (std::memcmp(digest.data(), rest.last(kAfter).data(), kDigest) != 0) {
    return damaged("was cut off or altered");
  }
  rest = rest.subspan(kMagic.size(), rest.size() - kMagic.size() - kAfter);
  CheckpointArrays arrays;
  base::Result<CheckpointHeader> header = ReadHeader(rest, arrays);
  if (!header) return damaged(header.error().message);
  return CheckpointFile(std::move(file), *std::move(header), std::move(arrays));
}

base::Result<CheckpointHeader> CheckpointFile::ReadHeader(std::span<const std::byte>& rest,
                                                          CheckpointArrays& arrays) {
  const auto wrong = [](const std::string& what) {
    return base::Fail(base::Code::kDataLoss, what);
  };
  std::uint64_t size = 0;
  std::memcpy(&size, rest.data(), sizeof size);
  rest = rest.subspan(sizeof size);
  if (size > std::min(rest.size(), kLargestHeader)) return wrong("has a header of no such size");
  const json object = base::ParseJson(Text(rest.first(size)), kDepth);
  rest = rest.subspan(size);
  try {
    CheckpointHeader header = FromJson(object);
    for (const json& array : object.at("arrays")) {
      const std::int64_t bytes = Whole(array.at(1));
      if (bytes < 0 || static_cast<std::uint64_t>(bytes) > rest.size()) {
        return wrong("has arrays that reach beyond its end");
      }
      arrays[array.at(0).get<std::string>()] = rest.first(static_cast<std::size_t>(bytes));
      rest = rest.subspan(static_cast<std::size_t>(bytes));
    }
    if (header.step < 0 || header.evaluated < -1 || !rest.empty()) {
      return wrong("has contents that its header does not name");
    }
    return header;
  } catch (const json::exception& error) {
    return wrong("has a header that cannot be read (" + std::string(error.what()) + ")");
  }
}

bool CheckpointFile::IsOf(const security::SecretBytes& key) const {
  const auto bytes = file_.bytes();
  const auto* const end = reinterpret_cast<const std::uint8_t*>(bytes.data() + bytes.size());
  const security::Sha256Digest tag =
      security::HmacSha256(key.bytes(), std::span(end - kTag - kDigest, kDigest));
  return security::SecretBytes(tag) == security::SecretBytes(std::span(end - kTag, kTag));
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
