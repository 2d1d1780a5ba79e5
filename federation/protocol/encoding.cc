#include "federation/protocol/encoding.h"

#include <algorithm>

#include "base/check.h"

namespace cloister::federation::protocol {
namespace {

template <typename T>
void Append(Bytes& bytes, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
}

template <typename T>
T Read(ByteView bytes) {
  T value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    value = static_cast<T>(value | static_cast<T>(static_cast<T>(bytes[i]) << (8 * i)));
  }
  return value;
}

}  // namespace

Writer& Writer::U8(std::uint8_t value) {
  bytes_.push_back(value);
  return *this;
}

Writer& Writer::U16(std::uint16_t value) {
  Append(bytes_, value);
  return *this;
}

Writer& Writer::U32(std::uint32_t value) {
  Append(bytes_, value);
  return *this;
}

Writer& Writer::U64(std::uint64_t value) {
  Append(bytes_, value);
  return *this;
}

Writer& Writer::Fixed(ByteView bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

Writer& Writer::String(ByteView bytes) {
  CLOISTER_CHECK(bytes.size() <= 0xffffffffU);
  U32(static_cast<std::uint32_t>(bytes.size()));
  return Fixed(bytes);
}

Writer& Writer::String(std::string_view text) {
  return String(ByteView(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

void Reader::Fail(const std::string& problem) {
  if (ok()) problem_ = problem;
}

ByteView Reader::Take(std::size_t size) {
  if (ok() && bytes_.size() < size) Fail("it ends too early");
  if (!ok()) return {};
  const ByteView taken = bytes_.first(size);
  bytes_ = bytes_.subspan(size);
  return taken;
}

std::uint8_t Reader::U8() { return Read<std::uint8_t>(Take(1)); }
std::uint16_t Reader::U16() { return Read<std::uint16_t>(Take(2)); }
std::uint32_t Reader::U32() { return Read<std::uint32_t>(Take(4)); }
std::uint64_t Reader::U64() { return Read<std::uint64_t>(Take(8)); }

void Reader::Fixed(std::span<std::uint8_t> into) {
  const ByteView taken = Take(into.size());
  std::copy(taken.begin(), taken.end(), into.begin());
}

Bytes Reader::String(std::size_t maximum) {
  const std::uint32_t size = U32();
  if (size > maximum) Fail("a field is longer than " + std::to_string(maximum) + " bytes");
  const ByteView taken = Take(size);
  return Bytes(taken.begin(), taken.end());
}

std::uint32_t Reader::Count(std::uint32_t maximum, std::size_t entry_bytes) {
  const std::uint32_t count = U32();
  if (count > maximum) Fail("a list is longer than " + std::to_string(maximum));
  if (entry_bytes != 0 && count > bytes_.size() / entry_bytes) Fail("it ends within a list");
  return ok() ? count : 0;
}

void Reader::Expect(std::uint16_t tag) {
  if (U16() != tag) Fail("it is another kind of message");
}

base::Status Reader::Finish() const {
  if (ok() && bytes_.empty()) return {};
  return base::Fail(base::Code::kDataLoss,
                    what_ + " is malformed: " +
                        (ok() ? std::to_string(bytes_.size()) + " bytes too many" : problem_) +
                        ": check that both ends run the same version");
}

}  // namespace cloister::federation::protocol
