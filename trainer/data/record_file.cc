#include "trainer/data/record_file.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "base/parallel.h"
#include "trainer/data/pass_progress.h"

namespace cloister::trainer {
namespace {

using security::Sha256Digest;

// A pass over less is done before anybody wonders.
constexpr std::uint64_t kShownFrom = 64;  // MiB
constexpr std::int64_t kParsedTogether = 64;

std::string AtLine(const std::filesystem::path& path, std::uint64_t line) {
  return path.string() + ":" + std::to_string(line);
}

struct DigestHash {
  std::size_t operator()(const Sha256Digest& digest) const {
    std::size_t front = 0;
    std::memcpy(&front, digest.data(), sizeof front);
    return front;
  }
};
using UnitNumbers = std::unordered_map<Sha256Digest, std::uint32_t, DigestHash>;

// What the index keeps of a record, or what is wrong with it.
struct Parsed {
  Sha256Digest hash{};
  RowKey row{};
  std::optional<Sha256Digest> unit;
  std::optional<base::Error> error;
};

std::optional<Sha256Digest> UnitOf(const Record& record) {
  if (record.unit.empty() || record.unit.size() > RecordFile::kMaxUnitName) return std::nullopt;
  return HashOfUnit(record.unit);
}

Parsed Parse(const RecordParser& parser, std::string_view bytes, bool units) {
  const auto record = parser.Parse(bytes);
  if (!record) return {{}, {}, {}, record.error()};
  return {
      HashOf(*record), record->row.value_or(RowKey{}), units ? UnitOf(*record) : std::nullopt, {}};
}

std::vector<Parsed> ParseAll(const RecordParser& parser,
                             std::span<const RecordScanner::Piece> pieces, bool units) {
  std::vector<Parsed> parsed(pieces.size());
  const auto count = static_cast<std::int64_t>(pieces.size());
  base::InParallel((count + kParsedTogether - 1) / kParsedTogether, [&](std::int64_t part) {
    const std::int64_t end = std::min(count, (part + 1) * kParsedTogether);
    for (auto i = static_cast<std::size_t>(part * kParsedTogether);
         i < static_cast<std::size_t>(end); ++i) {
      parsed[i] = Parse(parser, pieces[i].bytes, units);
    }
  });
  return parsed;
}

}  // namespace

base::Result<RecordFile> RecordFile::Open(const std::filesystem::path& path,
                                          const Options& options) {
  CLOISTER_ASSIGN_OR_RETURN(RandomAccessFile opened, RandomAccessFile::Open(path));
  auto file = std::make_unique<const RandomAccessFile>(std::move(opened));
  const bool csv = options.layout.format == DataFormat::kCsv;
  RecordScanner scanner(*file, csv ? RecordScanner::Cut::kCsvRows : RecordScanner::Cut::kLines);
  std::vector<RecordScanner::Piece> pieces = scanner.Next();
  const bool headed = csv && !pieces.empty();
  auto parser = RecordParser::Create(options.layout, headed ? pieces[0].bytes : std::string_view());
  if (!parser) return base::Annotate(std::move(parser), AtLine(path, headed ? pieces[0].line : 1));
  if (headed) pieces.erase(pieces.begin());
  RecordFile records(path, options, std::move(file), std::move(*parser));
  CLOISTER_RETURN_IF_ERROR(records.Scan(scanner, std::move(pieces)));
  if (records.size() == 0) {
    return base::Fail(base::Code::kDataLoss,
                      AtLine(path, 1) + ": no record: give a file that has some");
  }
  return records;
}

base::Status RecordFile::Scan(RecordScanner& scanner, std::vector<RecordScanner::Piece> pieces) {
  CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t size, file_->Size());
  PassProgress progress("reading " + path_.filename().string(), size >> 20, kShownFrom, "MiB",
                        options_.timing);
  UnitNumbers numbers;
  while (true) {
    const std::vector<Parsed> parsed = ParseAll(parser_, pieces, options_.units);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const RecordScanner::Piece& piece = pieces[i];
      if (parsed[i].error) {
        return base::Fail(parsed[i].error->code,
                          AtLine(path_, piece.line) + ": " + parsed[i].error->message);
      }
      std::uint32_t unit = RecordIndex::kNoUnit;
      if (parsed[i].unit) {
        const auto next = static_cast<std::uint32_t>(units_.size());
        const auto [found, added] = numbers.emplace(*parsed[i].unit, next);
        if (added) units_.push_back(*parsed[i].unit);
        unit = found->second;
      }
      CLOISTER_RETURN_IF_ERROR(
          index_.Append({piece.offset, piece.line, static_cast<std::uint32_t>(piece.bytes.size()),
                         unit, parsed[i].hash, parsed[i].row}));
    }
    progress.Update(scanner.position() >> 20);
    pieces = scanner.Next();
    if (pieces.empty()) break;
  }
  if (const auto& fault = scanner.fault()) {
    return base::Fail(fault->error.code, AtLine(path_, fault->line) + ": " + fault->error.message);
  }
  progress.Finish();
  return {};
}

std::string RecordFile::Where(std::int64_t index) const {
  const auto entry = index_.At(index);
  return entry ? AtLine(path_, entry->line) : path_.string();
}

base::Result<Record> RecordFile::Read(std::int64_t index) const {
  CLOISTER_ASSIGN_OR_RETURN(const RecordIndex::Entry entry, index_.At(index));
  std::string bytes(entry.size, '\0');
  auto got = file_->Read(entry.offset, bytes);
  if (!got) return base::Annotate(std::move(got), AtLine(path_, entry.line));
  bytes.resize(*got);
  auto record = parser_.Parse(bytes);
  const bool same =
      record && HashOf(*record) == entry.hash &&
      (!options_.units ||
       UnitOf(*record) ==
           (entry.unit == RecordIndex::kNoUnit ? std::nullopt : std::optional(units_[entry.unit])));
  if (same) return record;
  return base::Fail(base::Code::kDataLoss,
                    AtLine(path_, entry.line) +
                        ": changed since the run began: leave the file alone and start again");
}

}  // namespace cloister::trainer
