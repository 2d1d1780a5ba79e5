#include "dp/ledger/unit_set.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "dp/ledger/byte_view.h"

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

// The high half of the hashes of a key with its owners.
std::uint64_t OwnedBelow(const UnitHash& key) { return key.high ^ 0x6f776e6564206279U; }

}  // namespace

void HashArray::Append(const UnitHash& hash) {
  if (size_ == room_) {
    room_ = std::max(kHashesAtOnce, room_ + room_ / 2);
    void* const moved = std::realloc(hashes_.get(), room_ * sizeof(UnitHash));
    if (moved == nullptr) throw std::bad_alloc();
    static_cast<void>(hashes_.release());
    hashes_.reset(static_cast<UnitHash*>(moved));
  }
  hashes_.get()[size_++] = hash;
}

base::Result<UnitSet> UnitSet::Read(const UnitSource& units, security::HmacSha256Key& key) {
  UnitSet set;
  for (;;) {
    CLOISTER_ASSIGN_OR_RETURN(const std::optional<UnitKey> unit, units());
    if (!unit) break;
    const UnitHash own = Load(key.Hash(ByteView(unit->key)).data());
    set.hashes_.Append(own);
    if (unit->owner.empty()) continue;
    set.has_owners_ = true;
    const std::uint64_t size = BigEndian(unit->key.size());
    std::uint8_t front[sizeof size];
    std::memcpy(front, &size, sizeof size);
    const std::span<const std::uint8_t> both[] = {front, ByteView(unit->key),
                                                  ByteView(unit->owner)};
    set.hashes_.Append({OwnedBelow(own), Load(key.Hash(both).data()).high});
  }
  std::sort(set.hashes_.begin(), set.hashes_.end());
  set.hashes_.Resize(static_cast<std::size_t>(std::unique(set.hashes_.begin(), set.hashes_.end()) -
                                              set.hashes_.begin()));
  return set;
}

bool UnitSet::DividesAnew(const std::vector<bool>& known) const {
  if (!has_owners_) return false;
  const std::span<const UnitHash> all = hashes();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!known[i]) continue;
    const std::uint64_t below = OwnedBelow(all[i]);
    bool owned = false, same = false;
    for (auto at = static_cast<std::size_t>(
             std::lower_bound(all.begin(), all.end(), UnitHash{below, 0}) - all.begin());
         at < all.size() && all[at].high == below; ++at) {
      owned = true;
      same = same || known[at];
    }
    if (owned && !same) return true;
  }
  return false;
}

std::string UnitSet::Id(PrivacyUnit unit, Neighbours neighbours) const {
  security::Sha256 hash;
  hash.Update(std::string(UnitName(unit)) + "/" + std::string(NeighboursName(neighbours)) + "/");
  for (std::span<const UnitHash> rest = hashes(); !rest.empty();) {
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

}  // namespace cloister::dp
