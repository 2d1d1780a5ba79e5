#include "dp/ledger/unit_set.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace cloister::dp {
namespace {

constexpr std::size_t kHashesAtOnce = 4096;

std::uint64_t BigEndian(std::uint64_t value) {
  static_assert(std::endian::native == std::endian::little);
  return __builtin_bswap64(value);
}

UnitHash Load(const std::uint8_t* bytes) {
  UnitHash hash;
  std::memcpy(&hash.high, bytes, sizeof hash.high);
  std::memcpy(&hash.low, bytes + sizeof hash.high, sizeof hash.low);
  return {BigEndian(hash.high), BigEndian(hash.low)};
}

}  // namespace

base::Result<UnitSet> UnitSet::Read(const UnitSource& units, security::HmacSha256Key& key) {
  UnitSet set;
  for (;;) {
    CLOISTER_ASSIGN_OR_RETURN(const std::optional<std::string_view> unit, units());
    if (!unit) break;
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(unit->data()), unit->size());
    set.hashes_.push_back(Load(key.Hash(bytes).data()));
  }
  std::sort(set.hashes_.begin(), set.hashes_.end());
  set.hashes_.erase(std::unique(set.hashes_.begin(), set.hashes_.end()), set.hashes_.end());
  return set;
}

std::string UnitSet::Id() const {
  security::Sha256 hash;
  for (std::span<const UnitHash> rest = hashes_; !rest.empty();) {
    const std::size_t count = std::min(rest.size(), kHashesAtOnce);
    hash.Update(PackHashes(rest.first(count)));
    rest = rest.subspan(count);
  }
  return security::Hex(hash.Finish());
}

std::vector<std::uint8_t> PackHashes(std::span<const UnitHash> hashes) {
  std::vector<std::uint8_t> bytes(hashes.size() * UnitHash::kSize);
  std::uint8_t* out = bytes.data();
  for (const UnitHash& hash : hashes) {
    for (const std::uint64_t half : {BigEndian(hash.high), BigEndian(hash.low)}) {
      std::memcpy(out, &half, sizeof half);
      out += sizeof half;
    }
  }
  return bytes;
}

std::vector<UnitHash> UnpackHashes(std::span<const std::uint8_t> bytes) {
  std::vector<UnitHash> hashes(bytes.size() / UnitHash::kSize);
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    hashes[i] = Load(bytes.data() + i * UnitHash::kSize);
  }
  return hashes;
}

bool ShareMember(std::span<const UnitHash> some, std::span<const UnitHash> others) {
  auto mine = some.begin();
  auto theirs = others.begin();
  while (mine != some.end() && theirs != others.end()) {
    if (*mine == *theirs) return true;
    ++(*mine < *theirs ? mine : theirs);
  }
  return false;
}

}  // namespace cloister::dp
