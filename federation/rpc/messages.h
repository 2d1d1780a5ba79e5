#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "base/error.h"
#include "federation/job/signed_job.h"
#include "federation/protocol/encoding.h"
#include "security/primitives.h"

namespace cloister::federation::rpc {

// The messages of federation.proto as values, so that generated code stays behind this folder.

inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::size_t kChunkBytes = std::size_t{1} << 20;       // of parameters and uploads
inline constexpr std::size_t kLongestMessage = std::size_t{16} << 20;  // refused beyond

struct Hello {
  std::uint32_t version = kVersion;
  std::string site;
};

struct Accepted {
  security::Sha256Digest job{};
  std::uint64_t parameters = 0;
};

struct Round {
  std::uint64_t round = 0;
  std::uint64_t attempt = 0;
  std::uint64_t bytes = 0;
  security::Sha256Digest sha256{};
  bool last = false;
};

struct ParameterChunk {
  std::uint64_t offset = 0;
  protocol::Bytes data;
};

struct Protocol {  // a message of the secure sum, encoded
  protocol::Bytes bytes;
};

struct UploadAck {
  std::uint64_t received = 0;
};

struct End {
  base::Code code = base::Code::kOk;
  std::string message;
};

using SiteMessage = std::variant<Hello, Accepted, Protocol, End>;
using CoordinatorMessage =
    std::variant<job::SignedJob, Round, ParameterChunk, Protocol, UploadAck, End>;

}  // namespace cloister::federation::rpc
