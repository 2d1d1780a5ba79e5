#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "federation/rpc/messages.h"
#include "federation/rpc/tls.h"

namespace cloister::federation::rpc {

// A site's stream to its coordinator: mutual TLS 1.3; the coordinator's certificate must be of the
// same authority, for servers, and hold the host that was dialled. One thread may send while
// another receives.
class SiteStream {
 public:
  // Dials "host:port" and says hello as `files.name`. A coordinator that does not listen yet is
  // dialled again for `patience`; kUnavailable after that, or at once when the handshake fails.
  static base::Result<std::unique_ptr<SiteStream>> Dial(const std::string& coordinator,
                                                        const TlsFiles& files,
                                                        std::chrono::seconds patience,
                                                        std::stop_token stop);
  virtual ~SiteStream() = default;

  virtual base::Status Send(const SiteMessage& message) = 0;
  // Waits for the next message. kUnavailable when the coordinator is gone, kCancelled when the stop
  // token given to Dial was requested.
  virtual base::Result<CoordinatorMessage> Receive() = 0;
  // Says goodbye; nothing may be sent after it. Receive then runs into the stream's end.
  virtual void Leave(const End& end) = 0;
  // Breaks the stream off; a blocked call returns. From any thread.
  virtual void Cancel() = 0;

  virtual std::uint64_t bytes_sent() const = 0;
  virtual std::uint64_t bytes_received() const = 0;
};

// Hands a job to the coordinator; its refusal comes back as it gave it.
base::Status SubmitJob(const std::string& coordinator, const TlsFiles& files,
                       const job::SignedJob& job);

}  // namespace cloister::federation::rpc
