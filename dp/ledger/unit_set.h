#pragma once

// Inside dp/ledger/ only: the units of a data set as the ledger knows them.

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dp/ledger/ledger.h"
#include "security/keyed_hash.h"

namespace cloister::dp {

// The first 16 bytes of a unit's HMAC-SHA-256, read as two big-endian numbers, so that numbers and
// bytes sort alike. Where two units met (2^-128 a pair, and nobody without the key can look for
// one) a set would inherit spends that are not its own: too much would be counted, never too
// little.
struct UnitHash {
  static constexpr std::size_t kSize = 16;
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const UnitHash&, const UnitHash&) = default;
};

// Hashes without repeats, ascending: neither order nor repeats of a file matter.
class UnitSet {
 public:
  static base::Result<UnitSet> Read(const UnitSource& units, security::HmacSha256Key& key);

  std::span<const UnitHash> hashes() const { return hashes_; }
  // Hex, of the set's members alone.
  std::string Id() const;

 private:
  std::vector<UnitHash> hashes_;
};

// Big-endian bytes, kSize a hash, and back. Of bytes whose size is no multiple the rest is ignored.
std::vector<std::uint8_t> PackHashes(std::span<const UnitHash> hashes);
std::vector<UnitHash> UnpackHashes(std::span<const std::uint8_t> bytes);

// Whether two ascending sequences have a member in common.
bool ShareMember(std::span<const UnitHash> some, std::span<const UnitHash> others);

}  // namespace cloister::dp
