#include "model/huggingface/safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;

constexpr std::int64_t kMaxSize = std::int64_t{1} << 48;
constexpr char kMetadata[] = "__metadata__";

struct StoredType {
  std::string_view name;
  std::uint64_t bits;
};
constexpr std::array<StoredType, 22> kStoredTypes = {
    {{"F64", 64},        {"F32", 32},        {"F16", 16},    {"BF16", 16},   {"F8_E4M3", 8},
     {"F8_E5M2", 8},     {"F8_E8M0", 8},     {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},
     {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I64", 64},    {"I32", 32},    {"I16", 16},
     {"I8", 8},          {"U64", 64},        {"U32", 32},    {"U16", 16},    {"U8", 8},
     {"BOOL", 8},        {"C64", 64}}};

std::optional<std::uint64_t> StoredBits(std::string_view dtype) {
  for (const StoredType& type : kStoredTypes) {
    if (type.name == dtype) return type.bits;
  }
  return std::nullopt;
}

tl::unexpected<base::Error> Broken(const std::string& what) {
  return base::Fail(Code::kDataLoss, what + ": the file is damaged, fetch it again");
}

// A name that came from the file, for an error: of bounded length.
std::string Shown(const std::string& name) { return "tensor " + name.substr(0, 200); }

// Builds the header while the parser passes over the text, so that nothing is kept that the format
// does not have, however deep or long. The first thing that is wrong ends the parse.
class Reader : public json::json_sax_t {
 public:
  base::Result<SafetensorsHeader> Read(std::string_view text) {
    const bool whole = json::sax_parse(text, this);
    if (!error_.empty()) return Broken(error_);
    if (!whole || place_ != Place::kEnd) return Broken("the header is no JSON object");
    return std::move(header_);
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kStart:
        place_ = Place::kNames;
        return true;
      case Place::kNames:
        place_ = name_ == kMetadata ? Place::kTexts : Place::kFields;
        return true;
      default:
        return Unexpected();
    }
  }

  bool end_object() override {
    if (place_ == Place::kNames) {
      place_ = Place::kEnd;
      return true;
    }
    if (place_ == Place::kFields && seen_ != kAllFields) {
      return Wrong("its entry needs dtype, shape and data_offsets");
    }
    place_ = Place::kNames;
    return true;
  }

  bool key(string_t& key) override {
    if (place_ == Place::kTexts) {
      text_ = key;
      return header_.metadata.emplace(key, "").second || Wrong("it has a key twice");
    }
    if (place_ == Place::kNames) return NewName(key);
    field_ = key == "dtype"          ? kDtype
             : key == "shape"        ? kShape
             : key == "data_offsets" ? kOffsets
                                     : 0;
    if (field_ == 0) return Wrong("its entry has a field that the format does not know");
    if ((seen_ & field_) != 0) return Wrong("its entry has a field twice");
    seen_ |= field_;
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kTexts) {
      header_.metadata[text_] = value;
      return true;
    }
    if (place_ != Place::kFields || field_ != kDtype) return Unexpected();
    entry_->dtype = value;
    field_ = 0;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::kFields || (field_ != kShape && field_ != kOffsets)) return Unexpected();
    place_ = Place::kNumbers;
    numbers_.clear();
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kNumbers) return Unexpected();
    const std::size_t most = field_ == kShape ? SafetensorsHeader::kMaxDimensions : 2;
    if (numbers_.size() == most || (field_ == kShape && value > kMaxSize)) return Unexpected();
    numbers_.push_back(value);
    return true;
  }

  bool end_array() override {
    place_ = Place::kFields;
    if (field_ == kShape) {
      entry_->shape.assign(numbers_.begin(), numbers_.end());
    } else {
      if (numbers_.size() != 2) return Unexpected();
      entry_->begin = numbers_[0];
      entry_->end = numbers_[1];
    }
    field_ = 0;
    return true;
  }

  bool null() override { return Unexpected(); }
  bool boolean(bool) override { return Unexpected(); }
  bool number_integer(number_integer_t) override { return Unexpected(); }
  bool number_float(number_float_t, const string_t&) override { return Unexpected(); }
  bool binary(binary_t&) override { return Unexpected(); }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override {
    return false;
  }

 private:
  enum class Place { kStart, kNames, kFields, kNumbers, kTexts, kEnd };
  static constexpr int kDtype = 1;
  static constexpr int kShape = 2;
  static constexpr int kOffsets = 4;
  static constexpr int kAllFields = kDtype | kShape | kOffsets;

  bool NewName(const std::string& name) {
    name_ = name;
    seen_ = field_ = 0;
    if (name == kMetadata) {
      if (std::exchange(has_metadata_, true)) return Wrong("it occurs twice");
      return true;
    }
    const auto [entry, added] = header_.entries.try_emplace(name);
    entry_ = &entry->second;
    return added || Wrong("it occurs twice");
  }

  bool Wrong(const std::string& what) {
    error_ = name_.empty() ? what : Shown(name_) + ": " + what;
    return false;
  }

  bool Unexpected() {
    if (place_ == Place::kStart || place_ == Place::kEnd) return false;
    if (place_ == Place::kNumbers || field_ == kShape || field_ == kOffsets) {
      return Wrong(field_ == kShape ? "its shape is no list of sizes"
                                    : "its data_offsets are no pair of offsets");
    }
    return Wrong(field_ == kDtype ? "its dtype is no text" : "its entry is not of the format");
  }

  SafetensorsHeader header_;
  std::string error_;
  Place place_ = Place::kStart;
  std::string name_;
  std::string text_;
  SafetensorsHeader::Entry* entry_ = nullptr;
  int field_ = 0;
  int seen_ = 0;
  bool has_metadata_ = false;
  std::vector<std::uint64_t> numbers_;
};

// Whether `shape` takes exactly `bytes` at `bits` an element.
bool Fills(const std::vector<std::int64_t>& shape, std::uint64_t bits, std::uint64_t bytes) {
  std::uint64_t product = bits;
  for (const std::int64_t size : shape) {
    if (__builtin_mul_overflow(product, static_cast<std::uint64_t>(size), &product)) return false;
  }
  return product % 8 == 0 && product / 8 == bytes;
}

base::Status CheckEntry(const SafetensorsHeader::Entry& entry, std::uint64_t data_size) {
  const std::optional<std::uint64_t> bits = StoredBits(entry.dtype);
  if (!bits) {
    return base::Fail(Code::kUnimplemented, "its dtype '" + entry.dtype.substr(0, 32) +
                                                "' is not known: use a copy of the model in BF16");
  }
  if (entry.begin > entry.end || entry.end > data_size) {
    return Broken("its data_offsets lie outside of the file");
  }
  if (!Fills(entry.shape, *bits, entry.end - entry.begin)) {
    return Broken("its shape does not match its data_offsets");
  }
  return {};
}

base::Status CheckCover(const SafetensorsHeader& header, std::uint64_t data_size) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> parts;
  for (const auto& [name, entry] : header.entries) parts.emplace_back(entry.begin, entry.end);
  std::sort(parts.begin(), parts.end());
  std::uint64_t next = 0;
  for (const auto& [begin, end] : parts) {
    if (begin != next) return Broken("tensors overlap or leave a gap");
    next = end;
  }
  if (next != data_size) return Broken("the file is longer than its tensors");
  return {};
}

}  // namespace

base::Result<SafetensorsHeader> ReadSafetensorsHeader(std::string_view text,
                                                      std::uint64_t data_size) {
  // The format wants the brace first; spaces may follow the object.
  if (!text.starts_with('{')) return Broken("the header is no JSON object");
  CLOISTER_ASSIGN_OR_RETURN(SafetensorsHeader header, Reader().Read(text));
  for (const auto& [name, entry] : header.entries) {
    if (base::Status status = CheckEntry(entry, data_size); !status) {
      return base::Annotate(std::move(status), Shown(name));
    }
  }
  CLOISTER_RETURN_IF_ERROR(CheckCover(header, data_size));
  return header;
}

}  // namespace cloister::model
