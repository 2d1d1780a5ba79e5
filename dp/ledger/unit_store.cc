#include "dp/ledger/unit_store.h"

#include <algorithm>
#include <string_view>

#include "dp/ledger/byte_view.h"

namespace cloister::dp {
namespace {

constexpr std::size_t kBlock = 4096;  // hashes, 64 KiB

security::Sha256Digest CodeOf(security::HmacSha256Key& key, const std::string& data_set,
                              std::int64_t block, std::span<const std::uint8_t> hashes) {
  const std::string place = data_set + "/" + std::to_string(block) + "/";
  const std::span<const std::uint8_t> parts[] = {ByteView(place), hashes};
  return key.Hash(parts);
}

tl::unexpected<base::Error> Damaged(const Database& database, const std::string& data_set) {
  return base::Fail(base::Code::kDataLoss,
                    "privacy ledger has lost or changed units of data set " +
                        data_set.substr(0, 12) + ", " + database.where() +
                        ": restore the newest copy; an older one forgets what was spent");
}

struct StoredSet {
  std::string id;
  std::int64_t units = 0;
};

base::Result<std::vector<StoredSet>> StoredSets(const Database& database) {
  CLOISTER_ASSIGN_OR_RETURN(Statement statement,
                            database.Prepare("SELECT id, units FROM data_sets ORDER BY id"));
  std::vector<StoredSet> sets;
  for (;;) {
    CLOISTER_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return sets;
    sets.push_back({statement.Text(0), statement.Integer(1)});
  }
}

// Reads the set's blocks up to the end, or until visit(i) says false, which is called for each of
// `asked` that the set has. Blocks that are read are checked.
template <typename Visit>
base::Status ReadShared(const Database& database, security::HmacSha256Key& key,
                        const StoredSet& set, std::span<const UnitHash> asked, const Visit& visit) {
  CLOISTER_ASSIGN_OR_RETURN(
      Statement statement,
      database.Prepare(
          "SELECT block, hashes, code FROM unit_blocks WHERE data_set = ? ORDER BY block"));
  statement.Bind(set.id);
  std::int64_t found = 0;
  std::size_t first = 0;  // of those asked for that may be in the next block
  bool on = true;
  for (std::int64_t block = 0; on; ++block) {
    CLOISTER_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return found == set.units ? base::Status() : Damaged(database, set.id);
    const std::span<const std::uint8_t> bytes = statement.Bytes(1);
    const security::Sha256Digest code = CodeOf(key, set.id, block, bytes);
    const bool sound = statement.Integer(0) == block &&
                       std::ranges::equal(statement.Bytes(2), std::span(code)) && !bytes.empty();
    if (!sound) return Damaged(database, set.id);
    const std::vector<UnitHash> stored = UnpackHashes(bytes);
    found += static_cast<std::int64_t>(stored.size());
    // What is asked ascends too: what lies below this block is never looked at again.
    const auto from = asked.begin() + static_cast<std::ptrdiff_t>(first);
    first = static_cast<std::size_t>(std::lower_bound(from, asked.end(), stored.front()) -
                                     asked.begin());
    ForShared(asked.subspan(first), stored,
              [&](std::size_t i) { return on = visit(first + i), on; });
  }
  return {};
}

}  // namespace

base::Result<std::vector<Overlap>> SetsSharing(const Database& database,
                                               security::HmacSha256Key& key, const UnitSet& units) {
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<StoredSet> sets, StoredSets(database));
  std::vector<Overlap> sharing;
  for (const StoredSet& set : sets) {
    bool shares = false;
    std::vector<bool> known(units.has_owners() ? units.hashes().size() : 0);
    CLOISTER_RETURN_IF_ERROR(ReadShared(database, key, set, units.hashes(), [&](std::size_t i) {
      shares = true;
      if (units.has_owners()) known[i] = true;
      return units.has_owners();
    }));
    if (shares) sharing.push_back({set.id, units.DividesAnew(known)});
  }
  return sharing;
}

base::Status VerifyUnits(const Database& database, security::HmacSha256Key& key) {
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<StoredSet> sets, StoredSets(database));
  for (const StoredSet& set : sets) {
    // Nothing is asked for, so that it looks to the end.
    CLOISTER_RETURN_IF_ERROR(ReadShared(database, key, set, {}, [](std::size_t) { return true; }));
  }
  CLOISTER_ASSIGN_OR_RETURN(
      Statement strays, database.Prepare("SELECT data_set FROM unit_blocks WHERE data_set NOT IN "
                                         "(SELECT id FROM data_sets) LIMIT 1"));
  CLOISTER_ASSIGN_OR_RETURN(const bool stray, strays.Step());
  if (stray) return Damaged(database, strays.Text(0));
  return {};
}

base::Status InsertUnits(const Database& database, security::HmacSha256Key& key,
                         const std::string& data_set, const UnitSet& units) {
  CLOISTER_ASSIGN_OR_RETURN(Statement insert,
                            database.Prepare("INSERT INTO unit_blocks(data_set, block, hashes, "
                                             "code) VALUES(?, ?, ?, ?)"));
  std::span<const UnitHash> rest = units.hashes();
  for (std::int64_t block = 0; !rest.empty(); ++block) {
    const std::size_t count = std::min(rest.size(), kBlock);
    const std::vector<std::uint8_t> bytes = PackHashes(rest.first(count));
    insert.Reset();
    insert.Bind(data_set).Bind(block).Bind(bytes).Bind(CodeOf(key, data_set, block, bytes));
    CLOISTER_RETURN_IF_ERROR(insert.Run());
    rest = rest.subspan(count);
  }
  return {};
}

}  // namespace cloister::dp
