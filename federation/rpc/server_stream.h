#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>

#include "federation.grpc.pb.h"
#include "federation/rpc/event_queue.h"
#include "federation/rpc/watchdog.h"

namespace cloister::federation::rpc {

// The server's side of one site's stream: Run reads in the call's own thread and writes in another,
// until the site is gone or Close was called. Thread-safe.
class ServerStream {
 public:
  using Wire = grpc::ServerReaderWriter<v1::CoordinatorMessage, v1::SiteMessage>;

  ServerStream(ConnectionId id, grpc::ServerContext& context, Wire& wire, Watchdog& watchdog)
      : id_(id), context_(context), wire_(wire), watchdog_(watchdog) {}

  void Run(EventQueue& events);
  void Send(const CoordinatorMessage& message);
  // What is in line is still sent before a good end, for as long as a slow line needs; then the
  // stream is cut off, also from a site that reads nothing.
  void Close(const End& end);
  std::uint64_t sent() const { return sent_; }
  std::uint64_t received() const { return received_; }

 private:
  void Write();
  void DropWaiting();

  const ConnectionId id_;
  grpc::ServerContext& context_;
  Wire& wire_;
  Watchdog& watchdog_;
  mutable std::mutex mutex_;
  std::condition_variable waiting_;
  std::deque<v1::CoordinatorMessage> outgoing_;
  std::size_t outgoing_bytes_ = 0;
  bool closing_ = false;  // nothing more is taken; what is in line is still sent
  bool gone_ = false;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> received_{0};
};

}  // namespace cloister::federation::rpc
