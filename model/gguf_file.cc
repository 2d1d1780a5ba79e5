#include "model/gguf_file.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <set>

#include "model/gguf_cursor.h"

namespace cloister::model {
namespace {

using base::Code;

static_assert(std::endian::native == std::endian::little, "weights are mapped as they lie");

constexpr std::uint64_t kMaxDimensions = 4;
constexpr std::uint64_t kMaxNameLength = 256;

tl::unexpected<base::Error> Broken(const std::string& what) {
  return base::Fail(Code::kDataLoss, what + ": the file is damaged, fetch it again");
}

struct Header {
  std::uint64_t tensors = 0;
  std::uint64_t values = 0;
};

base::Result<Header> ReadHeader(GgufCursor& cursor) {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint32_t magic, cursor.Read<std::uint32_t>());
  if (magic != kGgufMagic) return base::Fail(Code::kDataLoss, "this is no GGUF file");
  CLOISTER_ASSIGN_OR_RETURN(const std::uint32_t version, cursor.Read<std::uint32_t>());
  if (version != 2 && version != 3) {
    return base::Fail(Code::kUnimplemented,
                      (version & 0xffff) == 0
                          ? "big-endian GGUF is not supported: convert it to little-endian"
                          : "GGUF version " + std::to_string(version) +
                                " is not supported: versions 2 and 3 are");
  }
  Header header;
  CLOISTER_ASSIGN_OR_RETURN(header.tensors, cursor.Read<std::uint64_t>());
  CLOISTER_ASSIGN_OR_RETURN(header.values, cursor.Read<std::uint64_t>());
  // A tensor's entry takes at least 24 bytes and a value's at least 13.
  if (header.tensors > cursor.left() / 24 || header.values > cursor.left() / 13) {
    return Broken("the header counts more entries than the file can hold");
  }
  return header;
}

struct Placed {
  GgufFile::Entry entry;
  std::uint64_t offset = 0;  // into the data section
  std::uint64_t bytes = 0;
};

// Sizes the tensor, refusing rows of broken blocks and products that overflow. How long a tensor of
// a type that is not supported is, is not known: at least a byte.
base::Status Measure(const std::vector<std::uint64_t>& dimensions, Placed& placed) {
  TensorView& view = placed.entry.view;
  std::uint64_t elements = 1;
  for (const std::uint64_t size : dimensions) {
    if (size == 0 || size > std::uint64_t{1} << 48 ||
        __builtin_mul_overflow(elements, size, &elements) || elements > std::uint64_t{1} << 48) {
      return Broken("its sizes are no positive numbers or too large");
    }
    view.shape.push_back(static_cast<std::int64_t>(size));
  }
  std::reverse(view.shape.begin(), view.shape.end());
  if (!placed.entry.unsupported.empty()) {
    placed.bytes = 1;
    return {};
  }
  if (view.row_elements() % BlockSize(view.type) != 0) {
    return Broken("its rows are no whole blocks of " + std::string(DataTypeName(view.type)));
  }
  placed.bytes = elements / static_cast<std::uint64_t>(BlockSize(view.type)) *
                 static_cast<std::uint64_t>(BlockBytes(view.type));
  return {};
}

base::Result<Placed> ReadTensorInfo(GgufCursor& cursor, std::string& name) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string_view text, cursor.ReadString());
  if (text.empty() || text.size() > kMaxNameLength) return Broken("its name is empty or too long");
  name = text;
  Placed placed;
  placed.entry.name = name;
  CLOISTER_ASSIGN_OR_RETURN(const std::uint32_t count, cursor.Read<std::uint32_t>());
  if (count == 0 || count > kMaxDimensions) return Broken("it has no 1 to 4 dimensions");
  std::vector<std::uint64_t> dimensions;
  for (std::uint32_t i = 0; i < count; ++i) {
    CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t size, cursor.Read<std::uint64_t>());
    dimensions.push_back(size);
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::uint32_t number, cursor.Read<std::uint32_t>());
  const std::optional<DataType> type = DataTypeOfGgml(number);
  if (type) {
    placed.entry.view.type = *type;
  } else {
    placed.entry.unsupported = "its type " + std::string(GgmlTypeName(number)) + " (" +
                               std::to_string(number) +
                               ") is not supported: use a file of f32, f16, bf16, q8_0, q6_k, "
                               "q5_k, q4_k, q5_1, q5_0, q4_1 or q4_0 tensors";
  }
  CLOISTER_RETURN_IF_ERROR(Measure(dimensions, placed));
  CLOISTER_ASSIGN_OR_RETURN(placed.offset, cursor.Read<std::uint64_t>());
  return placed;
}

// Gives each tensor its bytes. Sorted by offset, each must begin where or after the last one ended.
base::Status Place(std::vector<Placed>& tensors, std::span<const std::byte> data,
                   std::uint64_t alignment) {
  std::vector<Placed*> sorted;
  for (Placed& placed : tensors) sorted.push_back(&placed);
  std::sort(sorted.begin(), sorted.end(),
            [](const Placed* a, const Placed* b) { return a->offset < b->offset; });
  std::uint64_t end = 0;
  for (Placed* placed : sorted) {
    const std::string tensor = "tensor " + placed->entry.name;
    if (placed->offset % alignment != 0) return Broken(tensor + " is not aligned");
    if (placed->offset < end) return Broken(tensor + " overlaps another one");
    if (placed->offset > data.size() || placed->bytes > data.size() - placed->offset) {
      return Broken(tensor + " lies outside of the file (is the file cut off?)");
    }
    end = placed->offset + placed->bytes;
    if (!placed->entry.unsupported.empty()) continue;
    placed->entry.view.data = data.subspan(placed->offset, placed->bytes);
  }
  return {};
}

}  // namespace

base::Result<GgufFile> GgufFile::Open(const std::filesystem::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(base::MappedFile mapped, base::MappedFile::Open(path));
  GgufFile file(std::move(mapped), path);
  if (base::Status status = file.Read(); !status) {
    return base::Annotate(std::move(status), path.string());
  }
  return file;
}

base::Status GgufFile::Read() {
  GgufCursor cursor(file_.bytes());
  CLOISTER_ASSIGN_OR_RETURN(const Header header, ReadHeader(cursor));
  for (std::uint64_t i = 0; i < header.values; ++i) {
    CLOISTER_ASSIGN_OR_RETURN(const std::string_view key, cursor.ReadString());
    if (key.empty() || key.size() > 65535) return Broken("a key is empty or too long");
    base::Result<GgufValue> value = cursor.ReadValue();
    if (!value) return base::Annotate(std::move(value), "key " + std::string(key));
    if (!metadata_.emplace(key, *std::move(value)).second) {
      return Broken("key " + std::string(key) + " occurs twice");
    }
  }
  std::vector<Placed> tensors;
  std::set<std::string> names;
  for (std::uint64_t i = 0; i < header.tensors; ++i) {
    std::string name = std::to_string(i);
    base::Result<Placed> placed = ReadTensorInfo(cursor, name);
    if (!placed) return base::Annotate(std::move(placed), "tensor " + name);
    if (!names.insert(name).second) return Broken("tensor " + name + " occurs twice");
    tensors.push_back(*std::move(placed));
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto given, Integer("general.alignment"));
  const std::int64_t alignment = given.value_or(kGgufAlignment);
  if (alignment < 8 || alignment > 1 << 20 || !std::has_single_bit(std::uint64_t(alignment))) {
    return Broken("general.alignment is no power of two from 8 to 1048576");
  }
  const std::uint64_t mask = static_cast<std::uint64_t>(alignment) - 1;
  const std::uint64_t start = (cursor.position() + mask) & ~mask;
  const std::span<const std::byte> bytes = file_.bytes();
  const std::span<const std::byte> data =
      bytes.subspan(std::min<std::uint64_t>(start, bytes.size()));
  CLOISTER_RETURN_IF_ERROR(Place(tensors, data, static_cast<std::uint64_t>(alignment)));
  for (Placed& placed : tensors) entries_.push_back(std::move(placed.entry));
  return {};
}

tl::unexpected<base::Error> GgufFile::WrongType(std::string_view key, const char* wanted) const {
  return base::Fail(Code::kDataLoss,
                    path_.string() + ": key " + std::string(key) + " must be " + wanted);
}

base::Result<std::optional<std::int64_t>> GgufFile::Integer(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return std::optional<std::int64_t>();
  if (const auto* value = std::get_if<std::int64_t>(&found->second)) return std::optional(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&found->second);
      value != nullptr &&
      *value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::optional(static_cast<std::int64_t>(*value));
  }
  return WrongType(key, "an integer");
}

base::Result<std::optional<double>> GgufFile::Number(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return std::optional<double>();
  if (const auto* value = std::get_if<double>(&found->second)) return std::optional(*value);
  return WrongType(key, "a floating point number");
}

base::Result<std::optional<bool>> GgufFile::Bool(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return std::optional<bool>();
  if (const auto* value = std::get_if<bool>(&found->second)) return std::optional(*value);
  return WrongType(key, "true or false");
}

base::Result<std::optional<std::string>> GgufFile::String(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return std::optional<std::string>();
  if (const auto* value = std::get_if<std::string_view>(&found->second)) {
    return std::optional(std::string(*value));
  }
  return WrongType(key, "a string");
}

base::Result<const GgufStrings*> GgufFile::Strings(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return static_cast<const GgufStrings*>(nullptr);
  if (const auto* value = std::get_if<GgufStrings>(&found->second)) return value;
  return WrongType(key, "a list of strings");
}

base::Result<const GgufIntegers*> GgufFile::Integers(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return static_cast<const GgufIntegers*>(nullptr);
  if (const auto* value = std::get_if<GgufIntegers>(&found->second)) return value;
  return WrongType(key, "a list of integers");
}

}  // namespace cloister::model
