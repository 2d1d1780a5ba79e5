#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace cloister::federation::protocol {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

// The canonical encoding: little-endian integers of fixed width, fixed arrays as they are, byte
// strings and lists after a 32-bit length. One value has one encoding, and every message begins
// with a two-byte tag of its own, so that no signature or hash over one kind means anything as
// another.

class Writer {
 public:
  Writer& U8(std::uint8_t value);
  Writer& U16(std::uint16_t value);
  Writer& U32(std::uint32_t value);
  Writer& U64(std::uint64_t value);
  Writer& Fixed(ByteView bytes);  // no length: its size is known to the reader
  Writer& String(ByteView bytes);
  Writer& String(std::string_view text);
  Bytes Take() && { return std::move(bytes_); }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

// Reads hostile bytes. The first failure sticks: every later read gives zeros or nothing, and
// Finish tells what went wrong. Never reads past the end and never allocates more than the input's
// own size.
class Reader {
 public:
  // `what` names the message in errors.
  Reader(ByteView bytes, std::string what) : bytes_(bytes), what_(std::move(what)) {}

  std::uint8_t U8();
  std::uint16_t U16();
  std::uint32_t U32();
  std::uint64_t U64();
  void Fixed(std::span<std::uint8_t> into);
  template <std::size_t N>
  std::array<std::uint8_t, N> Array() {
    std::array<std::uint8_t, N> value{};
    Fixed(value);
    return value;
  }
  // At most `maximum` bytes.
  Bytes String(std::size_t maximum);
  // The length of a list of at most `maximum` entries of at least `entry_bytes` each: refused when
  // the rest of the input could not hold them.
  std::uint32_t Count(std::uint32_t maximum, std::size_t entry_bytes);
  void Expect(std::uint16_t tag);
  void Fail(const std::string& problem);
  bool ok() const { return problem_.empty(); }

  // kDataLoss when a read failed or bytes are left over.
  base::Status Finish() const;

 private:
  ByteView Take(std::size_t size);

  ByteView bytes_;
  std::string what_;
  std::string problem_;
};

}  // namespace cloister::federation::protocol
