#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "base/result.h"

namespace cloister::base {

// One message between a site's daemon and its worker.
struct Frame {
  nlohmann::json header;
  std::vector<std::byte> payload;  // raw little-endian tensor bytes
};

// Frames over a stream socket: u32 length of the JSON header, u64 length of the payload (both
// little-endian), the header, the payload. Blocking; one reader and one writer thread may use it at
// once. Owns the descriptor.
// Errors: kUnavailable when the peer has closed; kDataLoss for a header that is no JSON object or a
// length over the limits.
class FrameChannel {
 public:
  static constexpr std::uint32_t kMaxHeader = 1u << 20;
  static constexpr std::uint64_t kMaxPayload = std::uint64_t{4} << 30;

  explicit FrameChannel(int fd) : fd_(fd) {}
  FrameChannel(FrameChannel&& other) noexcept;
  FrameChannel& operator=(FrameChannel&& other) noexcept;
  ~FrameChannel();

  Status Send(const nlohmann::json& header, std::span<const std::byte> payload = {});
  Result<Frame> Receive();

 private:
  int fd_ = -1;
};

}  // namespace cloister::base
