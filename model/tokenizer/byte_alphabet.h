#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cloister::model {

// GPT-2's printable names of the 256 bytes, in which byte-level BPE vocabularies are written: a
// printable Latin-1 byte is the character of its own number, any other one of U+0100 … U+0143.
std::string ByteToPiece(std::uint8_t byte);

// A piece of such a vocabulary as the bytes it stands for. Characters outside of the alphabet stay
// as they are.
std::string PieceToBytes(std::string_view piece);

}  // namespace cloister::model
