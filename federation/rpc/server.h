#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <variant>

#include "base/result.h"
#include "federation/rpc/messages.h"
#include "federation/rpc/tls.h"

namespace cloister::federation::rpc {

using ConnectionId = std::uint64_t;  // never used twice by one server

// What happened at the coordinator's network side, in order.
struct Attended {  // a site said hello under its own certificate; nobody asked yet if it may
  ConnectionId connection = 0;
  std::string site;
};
struct Received {
  ConnectionId connection = 0;
  SiteMessage message;
};
struct Lost {  // the stream broke or the site ended it
  ConnectionId connection = 0;
};
struct Submitted {  // answered with Server::Answer
  std::uint64_t submission = 0;
  std::string by;  // name in the submitter's certificate
  job::SignedJob job;
};
using Event = std::variant<Attended, Received, Lost, Submitted>;

// The coordinator's gRPC server: mutual TLS 1.3 only. A peer whose certificate is not of the same
// authority never gets past the handshake; a stream whose hello names another site than its
// certificate is refused here. Thread-safe.
class Server {
 public:
  // `listen`: "host:port", port 0 takes a free one. kUnavailable when the address is taken.
  static base::Result<std::unique_ptr<Server>> Start(const std::string& listen,
                                                     const TlsFiles& files);
  virtual ~Server() = default;

  virtual std::string address() const = 0;  // "host:port" really bound

  // The next event. kDeadlineExceeded at `deadline`, kCancelled when `stop` is requested. Readers
  // of the streams wait while many events are pending, so that a site cannot fill memory.
  virtual base::Result<Event> Next(std::chrono::steady_clock::time_point deadline,
                                   std::stop_token stop) = 0;

  // Puts a message in line for a site and returns at once. A site that does not read what waits for
  // it is cut off (and then comes as Lost).
  virtual void Send(ConnectionId connection, CoordinatorMessage message) = 0;
  // Sends `end`, then ends the stream. Later messages of the site are dropped; Lost follows.
  virtual void Close(ConnectionId connection, End end) = 0;

  // Answers a Submitted event: the job was taken, or why not.
  virtual void Answer(std::uint64_t submission, base::Status status) = 0;

  struct Traffic {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
  };
  // Bytes of messages over one connection so far, TLS and framing not counted.
  virtual Traffic TrafficOf(ConnectionId connection) const = 0;

  // Waits until what was sent is on its way (at most `patience`), then ends every stream.
  virtual void Shutdown(std::chrono::milliseconds patience) = 0;
};

}  // namespace cloister::federation::rpc
