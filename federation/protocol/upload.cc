#include "federation/protocol/upload.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace cloister::federation::protocol {
namespace {

void AppendLittleEndian(Bytes& bytes, std::uint32_t word) {
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::uint8_t>(word >> (8 * i)));
}

}  // namespace

Digest HashWords(std::span<const std::uint32_t> words) {
  constexpr std::size_t kWordsAtOnce = 16384;
  security::Sha256 hash;
  Bytes bytes;
  bytes.reserve(4 * std::min(kWordsAtOnce, words.size()));
  for (std::size_t start = 0; start < words.size(); start += kWordsAtOnce) {
    bytes.clear();
    for (const std::uint32_t word :
         words.subspan(start, std::min(kWordsAtOnce, words.size() - start))) {
      AppendLittleEndian(bytes, word);
    }
    hash.Update(bytes);
  }
  return hash.Finish();
}

MaskedUpload::MaskedUpload(std::vector<std::uint32_t> words, UploadSeal seal)
    : words_(std::move(words)), seal_(seal) {}

std::size_t MaskedUpload::ChunkCount(std::size_t chunk_bytes) const {
  CLOISTER_CHECK(chunk_bytes >= 4 && chunk_bytes % 4 == 0 && chunk_bytes <= kMaximumChunkBytes);
  const std::size_t words_each = chunk_bytes / 4;
  return (words_.size() + words_each - 1) / words_each;
}

UploadChunk MaskedUpload::Chunk(std::size_t index, std::size_t chunk_bytes) const {
  CLOISTER_CHECK(index < ChunkCount(chunk_bytes));
  const std::size_t first = index * (chunk_bytes / 4);
  const std::size_t count = std::min(chunk_bytes / 4, words_.size() - first);
  UploadChunk chunk;
  chunk.binding = seal_.binding;
  chunk.site = seal_.site;
  chunk.offset = 4 * static_cast<std::uint64_t>(first);
  chunk.bytes.reserve(4 * count);
  for (std::size_t i = 0; i < count; ++i) AppendLittleEndian(chunk.bytes, words_[first + i]);
  chunk.sha256 = security::HashBytes(chunk.bytes);
  return chunk;
}

base::Result<std::uint64_t> PartialUpload::Add(const UploadChunk& chunk) {
  const std::string where = "upload chunk at offset " + std::to_string(chunk.offset);
  if (chunk.binding != binding_ || chunk.site != site_) {
    return base::Fail(base::Code::kDataLoss, where + " belongs to another attempt or site");
  }
  if (chunk.offset != received_.size()) {
    return base::Fail(base::Code::kOutOfRange,
                      where + ": go on at offset " + std::to_string(received_.size()));
  }
  if (chunk.bytes.empty() || chunk.bytes.size() > kMaximumChunkBytes ||
      chunk.bytes.size() % 4 != 0 || chunk.bytes.size() > 4 * words_expected_ - received_.size()) {
    return base::Fail(base::Code::kDataLoss, where + " has " + std::to_string(chunk.bytes.size()) +
                                                 " bytes: send whole words, at most " +
                                                 std::to_string(kMaximumChunkBytes) + " bytes, " +
                                                 std::to_string(4 * words_expected_) + " in all");
  }
  if (security::HashBytes(chunk.bytes) != chunk.sha256) {
    return base::Fail(base::Code::kDataLoss, where + " misses its hash: send it again");
  }
  received_.insert(received_.end(), chunk.bytes.begin(), chunk.bytes.end());
  return received_.size();
}

base::Result<std::vector<std::uint32_t>> PartialUpload::Finish(const UploadSeal& seal) {
  const Bytes bytes = std::exchange(received_, Bytes{});
  if (seal.binding != binding_ || seal.site != site_) {
    return base::Fail(base::Code::kDataLoss, "upload seal belongs to another attempt or site");
  }
  if (seal.words != words_expected_ || bytes.size() != 4 * words_expected_) {
    return base::Fail(base::Code::kDataLoss, "upload holds " + std::to_string(bytes.size()) +
                                                 " of " + std::to_string(4 * words_expected_) +
                                                 " bytes: send it from offset 0");
  }
  if (security::HashBytes(bytes) != seal.sha256) {
    return base::Fail(base::Code::kDataLoss,
                      "upload misses the hash that its seal signs: send it from offset 0");
  }
  std::vector<std::uint32_t> words(bytes.size() / 4);
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = static_cast<std::uint32_t>(bytes[4 * i]) |
               static_cast<std::uint32_t>(bytes[4 * i + 1]) << 8 |
               static_cast<std::uint32_t>(bytes[4 * i + 2]) << 16 |
               static_cast<std::uint32_t>(bytes[4 * i + 3]) << 24;
  }
  return words;
}

}  // namespace cloister::federation::protocol
