#include "model/tokenizer/byte_alphabet.h"

#include <unicode/utf8.h>

#include <array>

namespace cloister::model {
namespace {

constexpr int kLastCodePoint = 0x143;

constexpr bool IsPrintable(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

constexpr std::array<int, 256> CodePoints() {
  std::array<int, 256> points = {};
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) points[byte] = IsPrintable(byte) ? byte : next++;
  return points;
}
constexpr std::array<int, 256> kCodePoints = CodePoints();

constexpr std::array<int, kLastCodePoint + 1> Bytes() {
  std::array<int, kLastCodePoint + 1> bytes = {};
  for (int& byte : bytes) byte = -1;
  for (int byte = 0; byte < 256; ++byte) bytes[kCodePoints[byte]] = byte;
  return bytes;
}
constexpr std::array<int, kLastCodePoint + 1> kBytes = Bytes();

}  // namespace

std::string ByteToPiece(std::uint8_t byte) {
  const int point = kCodePoints[byte];
  if (point < 0x80) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(0xc0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3f))};
}

std::string PieceToBytes(std::string_view piece) {
  std::string bytes;
  const char* data = piece.data();
  const auto size = static_cast<std::int64_t>(piece.size());
  for (std::int64_t next = 0; next < size;) {
    const std::int64_t start = next;
    UChar32 point = 0;
    U8_NEXT(data, next, size, point);
    if (point >= 0 && point <= kLastCodePoint && kBytes[point] >= 0) {
      bytes.push_back(static_cast<char>(kBytes[point]));
    } else {
      bytes.append(piece.substr(start, next - start));
    }
  }
  return bytes;
}

}  // namespace cloister::model
