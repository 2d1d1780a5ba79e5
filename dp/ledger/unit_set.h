#pragma once

// Inside dp/ledger/ only: the units of a data set as the ledger knows them.

#include <compare>
#include <cstdint>
#include <cstdlib>
#include <memory>
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

// A growing array that is never in memory twice, as a vector is while it grows: the C library moves
// large blocks by their pages.
class HashArray {
 public:
  void Append(const UnitHash& hash);
  void Resize(std::size_t size) { size_ = size; }  // to less
  UnitHash* begin() { return hashes_.get(); }
  UnitHash* end() { return hashes_.get() + size_; }
  std::span<const UnitHash> span() const { return {hashes_.get(), size_}; }

 private:
  struct Free {
    void operator()(UnitHash* hashes) const { std::free(hashes); }
  };
  std::unique_ptr<UnitHash, Free> hashes_;
  std::size_t size_ = 0, room_ = 0;
};

// Hashes without repeats, ascending: neither order nor repeats of a file matter. A key has one, and
// with an owner one more, of both, whose high half says which key it belongs to.
class UnitSet {
 public:
  static base::Result<UnitSet> Read(const UnitSource& units, security::HmacSha256Key& key);

  std::span<const UnitHash> hashes() const { return hashes_.span(); }
  bool has_owners() const { return has_owners_; }
  // Hex, of the set's members and of what it is registered as alone.
  std::string Id(PrivacyUnit unit, Neighbours neighbours) const;

  // Whether another set, which has those of hashes() that are `known`, has a key of this one's with
  // none of its owners here: the two divide the same data in different ways. To meet by chance half
  // a hash would have to, 2^-64 a pair.
  bool DividesAnew(const std::vector<bool>& known) const;

 private:
  HashArray hashes_;
  bool has_owners_ = false;
};

// Big-endian bytes, kSize a hash, and back. Of bytes whose size is no multiple the rest is ignored.
std::vector<std::uint8_t> PackHashes(std::span<const UnitHash> hashes);
std::vector<UnitHash> UnpackHashes(std::span<const std::uint8_t> bytes);

// Calls visit(i) for each member some[i] of an ascending sequence that another one has too, until
// it says false.
template <typename Visit>
void ForShared(std::span<const UnitHash> some, std::span<const UnitHash> others,
               const Visit& visit) {
  auto mine = some.begin();
  auto theirs = others.begin();
  while (mine != some.end() && theirs != others.end()) {
    if (*mine == *theirs && !visit(static_cast<std::size_t>(mine - some.begin()))) return;
    ++(*mine <= *theirs ? mine : theirs);
  }
}

}  // namespace cloister::dp
