#pragma once

#include <filesystem>
#include <vector>

#include "base/result.h"
#include "federation/protocol/durable.h"
#include "federation/protocol/encoding.h"
#include "security/primitives.h"

namespace cloister::federation::site {

// A site's signed choices, appended and fsynced before they are sent (choices.journal, mode 0600,
// in a folder of mode 0700). Every record has one size: its length (u32, little-endian), its hash,
// its bytes. The hash is SHA-256 over the hash before it (zeros for the first), length and bytes,
// so that no record can be changed, taken out or reordered. A tail shorter than a record, left by a
// crash before its choice was sent, is cut off; anything else is damage: kDataLoss. Locked while
// open, so that one daemon at a time uses a state folder. Not thread-safe.
class Journal {
 public:
  // kFailedPrecondition while another process has it.
  static base::Result<Journal> Open(const std::filesystem::path& folder);
  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&&) = delete;
  ~Journal();

  // Durable when it returns success. After a failure nothing may be sent.
  base::Status Append(const protocol::Bytes& record);
  base::Result<protocol::PastChoices> Past() const;

 private:
  Journal(int fd, std::filesystem::path path, std::vector<protocol::Bytes> records)
      : fd_(fd), path_(std::move(path)), records_(std::move(records)) {}

  int fd_;
  std::filesystem::path path_;
  std::vector<protocol::Bytes> records_;
  security::Sha256Digest last_{};  // the last record's hash
};

}  // namespace cloister::federation::site
