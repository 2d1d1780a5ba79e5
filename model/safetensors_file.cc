#include "model/safetensors_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

constexpr std::size_t kPrefix = 8;

struct StoredType {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr std::array<StoredType, 14> kStoredTypes = {{{"F64", 8},
                                                      {"F32", 4},
                                                      {"F16", 2},
                                                      {"BF16", 2},
                                                      {"I64", 8},
                                                      {"I32", 4},
                                                      {"I16", 2},
                                                      {"I8", 1},
                                                      {"U64", 8},
                                                      {"U32", 4},
                                                      {"U16", 2},
                                                      {"U8", 1},
                                                      {"F8_E4M3", 1},
                                                      {"BOOL", 1}}};

std::optional<std::uint64_t> StoredBytes(std::string_view dtype) {
  for (const StoredType& type : kStoredTypes) {
    if (type.name == dtype) return type.bytes;
  }
  return std::nullopt;
}

tl::unexpected<base::Error> Broken(const std::string& what) {
  return base::Fail(Code::kDataLoss, what + ": the file is damaged, fetch it again");
}

// The header's object; a name that occurs twice is refused, which the JSON parser would let pass.
base::Result<json> ParseHeader(std::string_view text) {
  std::set<std::string> names;
  bool repeated = false;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key && depth == 1) {
      repeated |= !names.insert(value.get<std::string>()).second;
    }
    return true;
  };
  json header = json::parse(text, watch, false);
  if (!header.is_object()) return Broken("the header is no JSON object");
  if (repeated) return Broken("the header names a tensor twice");
  return header;
}

struct Extent {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

base::Result<std::vector<std::int64_t>> ReadShape(const json& value) {
  if (!value.is_array() || value.size() > 16) return Broken("its shape is no list of sizes");
  std::vector<std::int64_t> shape;
  for (const json& size : value) {
    if (!size.is_number_unsigned() || size.get<std::uint64_t>() > std::uint64_t{1} << 48) {
      return Broken("its shape is no list of sizes");
    }
    shape.push_back(size.get<std::int64_t>());
  }
  return shape;
}

base::Result<Extent> ReadExtent(const json& value, std::uint64_t data_size) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() ||
      !value[1].is_number_unsigned()) {
    return Broken("its data_offsets are no pair of offsets");
  }
  const Extent extent{value[0].get<std::uint64_t>(), value[1].get<std::uint64_t>()};
  if (extent.begin > extent.end || extent.end > data_size) {
    return Broken("its data_offsets lie outside of the file");
  }
  return extent;
}

// Whether `shape` takes exactly `bytes` at `each` bytes an element.
bool Fills(const std::vector<std::int64_t>& shape, std::uint64_t each, std::uint64_t bytes) {
  std::uint64_t product = each;
  for (const std::int64_t size : shape) {
    if (__builtin_mul_overflow(product, static_cast<std::uint64_t>(size), &product)) return false;
  }
  return product == bytes;
}

base::Result<SafetensorsFile::Entry> ReadEntry(const json& value, std::span<const std::byte> data) {
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets") || !value["dtype"].is_string()) {
    return Broken("its entry needs dtype, shape and data_offsets");
  }
  SafetensorsFile::Entry entry;
  entry.dtype = value["dtype"].get<std::string>();
  const std::optional<std::uint64_t> each = StoredBytes(entry.dtype);
  if (!each) {
    return base::Fail(Code::kUnimplemented, "its dtype '" + entry.dtype + "' is not supported");
  }
  CLOISTER_ASSIGN_OR_RETURN(entry.shape, ReadShape(value["shape"]));
  CLOISTER_ASSIGN_OR_RETURN(const Extent extent, ReadExtent(value["data_offsets"], data.size()));
  if (!Fills(entry.shape, *each, extent.end - extent.begin)) {
    return Broken("its shape does not match its data_offsets");
  }
  entry.data = data.subspan(extent.begin, extent.end - extent.begin);
  return entry;
}

base::Status CheckCover(const std::map<std::string, SafetensorsFile::Entry>& entries,
                        std::span<const std::byte> data) {
  std::vector<std::span<const std::byte>> parts;
  for (const auto& [name, entry] : entries) parts.push_back(entry.data);
  std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) {
    return std::pair(a.data(), a.size()) < std::pair(b.data(), b.size());
  });
  const std::byte* next = data.data();
  for (const auto& part : parts) {
    if (part.data() != next) return Broken("tensors overlap or leave a gap");
    next += part.size();
  }
  if (next != data.data() + data.size()) return Broken("the file is longer than its tensors");
  return {};
}

}  // namespace

base::Result<SafetensorsFile> SafetensorsFile::Open(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(base::MappedFile mapped, base::MappedFile::Open(path));
  SafetensorsFile file(std::move(mapped), path);
  if (base::Status status = file.ReadHeader(); !status) {
    return base::Annotate(std::move(status), path.string());
  }
  return file;
}

base::Status SafetensorsFile::ReadHeader() {
  const std::span<const std::byte> bytes = file_.bytes();
  if (bytes.size() < kPrefix) return Broken("the header is cut off");
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  if (header_size > kMaxHeader || header_size > bytes.size() - kPrefix) {
    return Broken("the header is longer than the file or than the format allows");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kPrefix, header_size);
  CLOISTER_ASSIGN_OR_RETURN(const json header, ParseHeader(text));
  const std::span<const std::byte> data = bytes.subspan(kPrefix + header_size);
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    base::Result<Entry> entry = ReadEntry(value, data);
    if (!entry) return base::Annotate(std::move(entry), "tensor " + name);
    entries_.emplace(name, *std::move(entry));
  }
  return CheckCover(entries_, data);
}

base::Result<TensorView> SafetensorsFile::Tensor(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    return base::Fail(Code::kDataLoss, path_.string() + " has no tensor " + name +
                                           ": the file is incomplete, fetch it again");
  }
  const Entry& entry = found->second;
  TensorView view;
  view.shape = entry.shape;
  view.data = entry.data;
  if (entry.dtype == "F32") {
    view.type = DataType::kF32;
  } else if (entry.dtype == "F16") {
    view.type = DataType::kF16;
  } else if (entry.dtype == "BF16") {
    view.type = DataType::kBF16;
  } else if (entry.dtype == "F8_E4M3") {
    view.type = DataType::kF8E4M3;
  } else {
    return base::Fail(Code::kUnimplemented, path_.string() + ": tensor " + name + " has dtype " +
                                                entry.dtype +
                                                ": F32, F16, BF16 and F8_E4M3 are supported");
  }
  return view;
}

}  // namespace cloister::model
