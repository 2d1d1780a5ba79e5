#include "model/tokenizer/byte_alphabet.h"

#include <array>
#include <charconv>

#include "model/tokenizer/utf8.h"

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
  bytes.reserve(piece.size());
  for (std::size_t at = 0; at < piece.size();) {
    const Utf8Character next = CharacterAt(piece, at);
    if (!next.valid || next.point > kLastCodePoint || kBytes[next.point] < 0) {
      return std::string(piece);
    }
    bytes.push_back(static_cast<char>(kBytes[next.point]));
    at += next.size;
  }
  return bytes;
}

std::optional<std::uint8_t> FallbackByte(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
  std::uint8_t byte = 0;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
  if (error != std::errc() || end != piece.data() + 5) return std::nullopt;
  return byte;
}

std::string FallbackPiece(std::uint8_t byte) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 0xf] + ">";
}

}  // namespace cloister::model
