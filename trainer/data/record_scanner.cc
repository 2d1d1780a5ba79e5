#include "trainer/data/record_scanner.h"

#include <algorithm>

#include "trainer/data/csv.h"

namespace cloister::trainer {
namespace {

// Some records at a time are worth a few threads; more would take more memory.
constexpr std::size_t kBuffer = 4 * RecordScanner::kMaxBytes;
constexpr std::size_t kMostPieces = std::size_t{1} << 14;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool Blank(std::string_view bytes) { return bytes.find_first_not_of(" \t\r\n") == bytes.npos; }

std::optional<std::size_t> LineSize(std::string_view text, bool whole) {
  const std::size_t end = text.find('\n');
  if (end != text.npos) return end + 1;
  return whole ? std::optional(text.size()) : std::nullopt;
}

}  // namespace

// Whether there is more than before.
bool RecordScanner::Fill() {
  if (ended_) return false;
  offset_ += at_;
  buffer_.erase(0, at_);
  at_ = 0;
  const std::size_t held = buffer_.size();
  buffer_.resize(kBuffer);
  const auto got = file_.Read(offset_ + held, std::span(buffer_).subspan(held));
  buffer_.resize(held + (got ? *got : 0));
  if (!got) {
    Fail(got.error().code, got.error().message);
    return false;
  }
  ended_ = buffer_.size() < kBuffer;
  if (offset_ == 0 && held == 0 && buffer_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
  return *got > 0;
}

std::vector<RecordScanner::Piece> RecordScanner::Next() {
  std::vector<Piece> pieces;
  while (!fault_ && pieces.size() < kMostPieces) {
    const bool empty = rest().empty();
    const auto size = empty                 ? std::nullopt
                      : cut_ == Cut::kLines ? LineSize(rest(), ended_)
                                            : CsvRowSize(rest(), ended_);
    std::string_view bytes = rest().substr(0, size.value_or(rest().size()));
    if (bytes.ends_with('\n')) bytes.remove_suffix(1);
    if (bytes.size() > kMaxBytes) {
      Fail(base::Code::kDataLoss,
           cut_ == Cut::kLines
               ? "line of more than " + std::to_string(kMaxBytes) + " bytes: split the record"
               : "row of more than " + std::to_string(kMaxBytes) +
                     " bytes: close its quotes, or split the record");
      break;
    }
    if (!size) {
      // What was cut lies in the buffer until the next call.
      if (!pieces.empty() || !Fill()) break;
      continue;
    }
    if (!Blank(bytes)) pieces.push_back({position(), line_, bytes});
    line_ += static_cast<std::uint64_t>(
        std::count(rest().begin(), rest().begin() + static_cast<std::ptrdiff_t>(*size), '\n'));
    at_ += *size;
  }
  return pieces;
}

}  // namespace cloister::trainer
