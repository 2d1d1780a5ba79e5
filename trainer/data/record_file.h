#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "trainer/data/data_format.h"
#include "trainer/data/random_access_file.h"
#include "trainer/data/record.h"
#include "trainer/data/record_index.h"
#include "trainer/data/record_parser.h"
#include "trainer/data/record_scanner.h"

namespace cloister::trainer {

// A file of training records, one of DataFormat's. Open reads it once from front to end, checks
// every record and keeps where each one stands (RecordIndex); records are read again, one at a
// time, when they are asked for. Memory: some 30 MiB, whatever the file's size; with units 64 bytes
// a user more. Errors are "file:line: what", with the line that the record begins on: kDataLoss
// for what is no such record, longer than RecordScanner::kMaxBytes, or without any record;
// kNotFound for a file that is absent. Reading is thread-safe.
class RecordFile {
 public:
  static constexpr std::size_t kMaxUnitName = 256;  // bytes

  struct Options {
    DataLayout layout;
    bool units = false;  // whether to keep whose each record is
    // Of private data: how far the pass is, is told to a terminal alone.
    base::Timing timing = base::Timing::kShown;
    std::size_t index_memory = RecordIndex::kMemory;
  };
  static base::Result<RecordFile> Open(const std::filesystem::path& path, const Options& options);

  std::int64_t size() const { return index_.size(); }
  // kDataLoss when the record was changed since Open, or has gone: its hash was charged for, and
  // another record under it was not. What was added behind the last record is not seen.
  base::Result<Record> Read(std::int64_t index) const;
  const RecordIndex& index() const { return index_; }
  // HashOfUnit() of the users, in the order of their first records; RecordIndex::Entry::unit counts
  // in it. A record whose unit is absent, empty, no text or longer than kMaxUnitName has none.
  const std::vector<security::Sha256Digest>& units() const { return units_; }
  const std::filesystem::path& path() const { return path_; }
  // "file:line" of a record.
  std::string Where(std::int64_t index) const;
  const DataLayout& layout() const { return options_.layout; }

 private:
  RecordFile(std::filesystem::path path, const Options& options,
             std::unique_ptr<const RandomAccessFile> file, RecordParser parser)
      : path_(std::move(path)),
        options_(options),
        file_(std::move(file)),
        parser_(std::move(parser)),
        index_(options.index_memory) {}
  // Goes on with a scanner that gave these last.
  base::Status Scan(RecordScanner& scanner, std::vector<RecordScanner::Piece> pieces);

  std::filesystem::path path_;
  Options options_;
  std::unique_ptr<const RandomAccessFile> file_;
  RecordParser parser_;
  RecordIndex index_;
  std::vector<security::Sha256Digest> units_;
};

}  // namespace cloister::trainer
