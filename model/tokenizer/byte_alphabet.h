#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cloister::model {

// GPT-2's printable names of the 256 bytes, in which byte-level BPE vocabularies are written: a
// printable Latin-1 byte is the character of its own number, any other one of U+0100 … U+0143.
std::string ByteToPiece(std::uint8_t byte);

// A piece of such a vocabulary as the bytes it stands for. A piece that has a character outside of
// the alphabet stays as it is.
std::string PieceToBytes(std::string_view piece);

// The byte that a piece like <0x41> of a vocabulary with byte fallback stands for.
std::optional<std::uint8_t> FallbackByte(std::string_view piece);
std::string FallbackPiece(std::uint8_t byte);

}  // namespace cloister::model
