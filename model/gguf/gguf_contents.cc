#include "model/gguf/gguf_contents.h"

#include <algorithm>
#include <bit>
#include <set>

#include "model/gguf/gguf_cursor.h"

namespace cloister::model {
namespace {

using base::Code;

static_assert(std::endian::native == std::endian::little, "weights are mapped as they lie");

constexpr std::uint64_t kMaxDimensions = 4;
constexpr std::uint64_t kMaxNameLength = 256;
constexpr std::uint64_t kMaxKeyLength = 65535;

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
  if (header.tensors > GgufContents::kMaxTensors || header.values > GgufContents::kMaxValues) {
    return Broken("the header counts more entries than any model has");
  }
  return header;
}

struct Placed {
  GgufEntry entry;
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
    placed.entry.unsupported = "its type " + GgmlTypeText(number) +
                               " is not supported: use a file of f32, f16, bf16, q8_0, q6_k, "
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

base::Status ReadMetadata(GgufCursor& cursor, std::uint64_t count, GgufValues& metadata) {
  for (std::uint64_t i = 0; i < count; ++i) {
    CLOISTER_ASSIGN_OR_RETURN(const std::string_view key, cursor.ReadString());
    if (key.empty() || key.size() > kMaxKeyLength) return Broken("a key is empty or too long");
    base::Result<GgufValue> value = cursor.ReadValue();
    if (!value) return base::Annotate(std::move(value), "key " + std::string(key));
    if (!metadata.emplace(key, *std::move(value)).second) {
      return Broken("key " + std::string(key) + " occurs twice");
    }
  }
  return {};
}

base::Result<std::vector<Placed>> ReadTensorInfos(GgufCursor& cursor, std::uint64_t count) {
  std::vector<Placed> tensors;
  std::set<std::string> names;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string name = std::to_string(i);
    base::Result<Placed> placed = ReadTensorInfo(cursor, name);
    if (!placed) return base::Annotate(std::move(placed), "tensor " + name);
    if (!names.insert(name).second) return Broken("tensor " + name + " occurs twice");
    tensors.push_back(*std::move(placed));
  }
  return tensors;
}

base::Result<std::uint64_t> Alignment(const GgufValues& metadata) {
  const auto found = metadata.find(std::string_view("general.alignment"));
  if (found == metadata.end()) return kGgufAlignment;
  std::uint64_t alignment = 0;
  if (const auto* value = std::get_if<std::uint64_t>(&found->second)) alignment = *value;
  if (const auto* value = std::get_if<std::int64_t>(&found->second); value && *value > 0) {
    alignment = static_cast<std::uint64_t>(*value);
  }
  if (alignment < 8 || alignment > 1 << 20 || !std::has_single_bit(alignment)) {
    return Broken("general.alignment is no power of two from 8 to 1048576");
  }
  return alignment;
}

}  // namespace

base::Result<GgufContents> ReadGguf(std::span<const std::byte> bytes) {
  GgufCursor cursor(bytes);
  CLOISTER_ASSIGN_OR_RETURN(const Header header, ReadHeader(cursor));
  GgufContents contents;
  CLOISTER_RETURN_IF_ERROR(ReadMetadata(cursor, header.values, contents.metadata));
  CLOISTER_ASSIGN_OR_RETURN(std::vector<Placed> tensors, ReadTensorInfos(cursor, header.tensors));
  CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t alignment, Alignment(contents.metadata));
  const std::uint64_t start = (cursor.position() + alignment - 1) & ~(alignment - 1);
  const std::span<const std::byte> data =
      bytes.subspan(std::min<std::uint64_t>(start, bytes.size()));
  CLOISTER_RETURN_IF_ERROR(Place(tensors, data, alignment));
  for (Placed& placed : tensors) contents.entries.push_back(std::move(placed.entry));
  return contents;
}

}  // namespace cloister::model
