#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "federation/protocol/messages.h"

namespace cloister::federation::protocol {

// SHA-256 of the words as they travel, little-endian.
Digest HashWords(std::span<const std::uint32_t> words);

// A site's masked vector on its way out: chunks in order, then the seal. Made once an attempt;
// every resend sends these very bytes. Immutable; thread-safe.
class MaskedUpload {
 public:
  // `words`: masked, little-endian on the wire. `seal` is already signed over them.
  MaskedUpload(std::vector<std::uint32_t> words, UploadSeal seal);

  // How many chunks of `chunk_bytes` (a multiple of 4, 4 … kMaximumChunkBytes) make the upload.
  std::size_t ChunkCount(std::size_t chunk_bytes) const;
  UploadChunk Chunk(std::size_t index, std::size_t chunk_bytes) const;
  const UploadSeal& seal() const { return seal_; }
  const std::vector<std::uint32_t>& words() const { return words_; }

 private:
  std::vector<std::uint32_t> words_;
  UploadSeal seal_;
};

// One site's upload as it arrives at the coordinator. Takes at most the expected size.
class PartialUpload {
 public:
  PartialUpload(Digest binding, SiteIndex site, std::uint64_t words)
      : binding_(binding), site_(site), words_expected_(words) {}

  // Bytes held after this chunk. Chunks come in order: kOutOfRange tells the offset that is
  // awaited. kDataLoss when the chunk misses its own hash or has a size that cannot be.
  base::Result<std::uint64_t> Add(const UploadChunk& chunk);
  // The words, when the upload is whole and is what the seal says; its signature is checked by the
  // caller. On an error the upload begins again at offset 0.
  base::Result<std::vector<std::uint32_t>> Finish(const UploadSeal& seal);

 private:
  Digest binding_;
  SiteIndex site_;
  std::uint64_t words_expected_;
  Bytes received_;
};

}  // namespace cloister::federation::protocol
