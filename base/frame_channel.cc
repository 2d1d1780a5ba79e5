#include "base/frame_channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/json.h"

namespace cloister::base {
namespace {

constexpr std::size_t kPrefix = 12;

Status SendAll(int fd, const void* data, std::size_t size) {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t sent = ::send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return Fail(Code::kUnavailable, std::string("the other process closed the channel (") +
                                          std::strerror(errno) + ")");
    }
    bytes += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return {};
}

Status ReceiveAll(int fd, void* data, std::size_t size) {
  auto* bytes = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t received = ::recv(fd, bytes, size, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) {
      return Fail(Code::kUnavailable, "the other process closed the channel");
    }
    bytes += received;
    size -= static_cast<std::size_t>(received);
  }
  return {};
}

// Grows with what arrives, so that a length alone costs the receiver nothing.
Result<std::vector<std::byte>> ReceivePayload(int fd, std::uint64_t size) {
  constexpr std::uint64_t kStep = std::uint64_t{16} << 20;
  std::vector<std::byte> payload;
  while (payload.size() < size) {
    const std::size_t done = payload.size();
    payload.resize(done + std::min(kStep, size - done));
    CLOISTER_RETURN_IF_ERROR(ReceiveAll(fd, payload.data() + done, payload.size() - done));
  }
  return payload;
}

void PutLittleEndian(unsigned char* to, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to[i] = static_cast<unsigned char>(value >> (8 * i));
}

std::uint64_t GetLittleEndian(const unsigned char* from, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= std::uint64_t{from[i]} << (8 * i);
  return value;
}

}  // namespace

FrameChannel::FrameChannel(FrameChannel&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FrameChannel& FrameChannel::operator=(FrameChannel&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FrameChannel::~FrameChannel() {
  if (fd_ >= 0) ::close(fd_);
}

Status FrameChannel::Send(const nlohmann::json& header, std::span<const std::byte> payload) {
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    return Fail(Code::kInvalidArgument,
                "a message to the other process holds text that is no UTF-8");
  }
  if (text.size() > kMaxHeader || payload.size() > kMaxPayload) {
    return Fail(Code::kOutOfRange, "a message to the other process is too long");
  }
  unsigned char prefix[kPrefix];
  PutLittleEndian(prefix, text.size(), 4);
  PutLittleEndian(prefix + 4, payload.size(), 8);
  CLOISTER_RETURN_IF_ERROR(SendAll(fd_, prefix, sizeof prefix));
  CLOISTER_RETURN_IF_ERROR(SendAll(fd_, text.data(), text.size()));
  return SendAll(fd_, payload.data(), payload.size());
}

Result<Frame> FrameChannel::Receive() {
  unsigned char prefix[kPrefix];
  CLOISTER_RETURN_IF_ERROR(ReceiveAll(fd_, prefix, sizeof prefix));
  const std::uint64_t header_size = GetLittleEndian(prefix, 4);
  const std::uint64_t payload_size = GetLittleEndian(prefix + 4, 8);
  if (header_size > kMaxHeader || payload_size > kMaxPayload) {
    return Fail(Code::kDataLoss, "a message of the other process is too long");
  }
  std::string text(header_size, '\0');
  CLOISTER_RETURN_IF_ERROR(ReceiveAll(fd_, text.data(), text.size()));
  Frame frame;
  frame.header = ParseJson(text);
  if (!frame.header.is_object()) {
    return Fail(Code::kDataLoss, "a message of the other process has no JSON header");
  }
  CLOISTER_ASSIGN_OR_RETURN(frame.payload, ReceivePayload(fd_, payload_size));
  return frame;
}

}  // namespace cloister::base
