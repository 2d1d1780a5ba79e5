#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "trainer/data/random_access_file.h"

namespace cloister::trainer {

// Cuts a file into the bytes of its records in one pass from the front, a few MiB at a time. Lines
// end with LF, and a CR before it is the record's whitespace; CSV rows may hold lines' ends in
// quotes. Blank lines are no records; a byte order mark at the front is passed over.
class RecordScanner {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20;  // of a record

  enum class Cut { kLines, kCsvRows };
  // `file` must outlive this.
  RecordScanner(const RandomAccessFile& file, Cut cut) : file_(file), cut_(cut) {}

  struct Piece {
    std::uint64_t offset = 0;
    std::uint64_t line = 0;  // where it begins, counted from 1
    std::string_view bytes;  // without its end; until the next call
  };
  struct Fault {
    std::uint64_t line = 0;
    base::Error error;
  };
  // Some of the next records; none at the end, or before fault().
  std::vector<Piece> Next();
  // Why there are no more: kDataLoss for a record of more than kMaxBytes.
  const std::optional<Fault>& fault() const { return fault_; }
  // Bytes that were gone through.
  std::uint64_t position() const { return offset_ + at_; }

 private:
  bool Fill();
  std::string_view rest() const { return std::string_view(buffer_).substr(at_); }
  void Fail(base::Code code, std::string message) { fault_ = {line_, {code, std::move(message)}}; }

  const RandomAccessFile& file_;
  Cut cut_;
  std::string buffer_;
  std::uint64_t offset_ = 0;  // of the buffer in the file
  std::size_t at_ = 0;        // in the buffer
  bool ended_ = false;        // the buffer reaches the file's end
  std::uint64_t line_ = 1;
  std::optional<Fault> fault_;
};

}  // namespace cloister::trainer
