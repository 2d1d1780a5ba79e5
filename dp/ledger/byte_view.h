#pragma once

// Inside dp/ledger/ only.

#include <cstdint>
#include <span>
#include <string_view>

namespace cloister::dp {

inline std::span<const std::uint8_t> ByteView(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace cloister::dp
