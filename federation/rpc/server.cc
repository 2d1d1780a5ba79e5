#include "federation/rpc/server.h"

#include <grpcpp/resource_quota.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "federation.grpc.pb.h"
#include "federation/rpc/convert.h"
#include "federation/rpc/event_queue.h"
#include "federation/rpc/server_stream.h"
#include "federation/rpc/visitors.h"
#include "federation/rpc/watchdog.h"

namespace cloister::federation::rpc {
namespace {

constexpr std::size_t kMostStreams = 512;
constexpr std::chrono::seconds kAnswerWithin{20};
constexpr std::chrono::seconds kHelloWithin{10};
// A call holds a thread of gRPC's. Beyond the streams: submissions, refusals, polling.
constexpr int kMostThreads = static_cast<int>(kMostStreams) + 64;
constexpr int kMostCallsOfAConnection = 4;

// The name in the client's certificate, which TLS has verified; empty where there is none.
std::string PeerName(const grpc::ServerContext& context) {
  const auto auth = context.auth_context();
  if (!auth || !auth->IsPeerAuthenticated()) return {};
  const auto names = auth->FindPropertyValues("x509_common_name");
  return names.size() == 1 ? std::string(names[0].data(), names[0].size()) : std::string();
}

// gRPC would take any number modulo 65536.
base::Status CheckAddress(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  const std::string port = colon == std::string::npos ? "" : listen.substr(colon + 1);
  const bool number = !port.empty() && port.size() <= 5 &&
                      port.find_first_not_of("0123456789") == std::string::npos;
  if (colon != 0 && number && std::stoi(port) <= 65535) return {};
  return base::Fail(
      base::Code::kInvalidArgument,
      "listen address '" + listen + "': write it as HOST:PORT, with a port from 0 to 65535");
}

// The calls, and what they share with GrpcServer.
class Service final : public v1::Federation::Service {
 public:
  grpc::Status Attend(grpc::ServerContext* context, ServerStream::Wire* wire) override {
    const std::string name = PeerName(*context);
    const Visitors::Visit visit(visitors_, name);
    if (!visit) return TooManyCalls(name);
    v1::SiteMessage first;
    watchdog_.Guard(*context, std::chrono::steady_clock::now() + kHelloWithin);
    const bool read = wire->Read(&first);
    watchdog_.Release(*context);
    if (name.empty() || !read || !first.has_hello()) {
      return {grpc::StatusCode::UNAUTHENTICATED, "no certificate with a name, or no hello"};
    }
    if (first.hello().site() != name) {
      return {grpc::StatusCode::UNAUTHENTICATED,
              "the certificate is " + name + "'s, but the hello claims another name"};
    }
    if (first.hello().version() != kVersion) {
      return {grpc::StatusCode::FAILED_PRECONDITION,
              "the coordinator speaks version " + std::to_string(kVersion) +
                  " of the protocol: install the same version of cloister"};
    }
    const auto stream = Add(name, *context, *wire);
    if (!stream) {
      return {grpc::StatusCode::ALREADY_EXISTS,
              "site " + name + " attends already, or too many sites do: start it once"};
    }
    context->AddInitialMetadata(kVersionKey, std::to_string(kVersion));
    wire->SendInitialMetadata();
    events.Push(Attended{stream->first, name});
    stream->second->Run(events);
    Remove(stream->first, name);
    return grpc::Status::OK;
  }

  grpc::Status Submit(grpc::ServerContext* context, const v1::SignedJob* request,
                      v1::SubmitReply* reply) override {
    const std::string name = PeerName(*context);
    const Visitors::Visit visit(visitors_, name);
    if (!visit) return TooManyCalls(name);
    auto job = FromWire(*request);
    if (!job) return ToGrpc(job.error());
    std::unique_lock lock(mutex);
    if (answers.size() >= kMostStreams) {
      return {grpc::StatusCode::ABORTED, "too many submissions at once: try again later"};
    }
    const std::uint64_t number = ++last_number;
    answers[number];
    lock.unlock();
    events.Push(Submitted{number, name, *job});
    lock.lock();
    answered.wait_for(lock, kAnswerWithin, [&] { return answers[number].has_value(); });
    const std::optional<base::Status> answer = std::move(answers[number]);
    answers.erase(number);
    lock.unlock();
    if (!answer) {
      return {grpc::StatusCode::ABORTED, "the coordinator is busy: try again later"};
    }
    if (!*answer) return ToGrpc(answer->error());
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(job->job.data());
    const security::Sha256Digest hash = security::HashBytes({bytes, job->job.size()});
    reply->set_job_hash(hash.data(), hash.size());
    return grpc::Status::OK;
  }

  std::shared_ptr<ServerStream> Find(ConnectionId connection) const {
    const std::lock_guard lock(mutex);
    const auto found = streams.find(connection);
    return found == streams.end() ? nullptr : found->second;
  }

  EventQueue events;
  mutable std::mutex mutex;
  std::condition_variable answered;
  std::map<std::uint64_t, std::optional<base::Status>> answers;
  std::map<ConnectionId, std::shared_ptr<ServerStream>> streams;
  std::map<ConnectionId, Server::Traffic> past;  // of streams that are gone

 private:
  static grpc::Status TooManyCalls(const std::string& name) {
    return {grpc::StatusCode::ABORTED,
            "too many calls of " + name + " are open: end its other programs"};
  }

  using Entry = std::pair<ConnectionId, std::shared_ptr<ServerStream>>;

  std::optional<Entry> Add(const std::string& name, grpc::ServerContext& context,
                           ServerStream::Wire& wire) {
    const std::lock_guard lock(mutex);
    if (streams.size() >= kMostStreams || !attending_.insert(name).second) return std::nullopt;
    const ConnectionId id = ++last_number;
    auto stream = std::make_shared<ServerStream>(id, context, wire, watchdog_);
    streams[id] = stream;
    return Entry(id, std::move(stream));
  }

  void Remove(ConnectionId id, const std::string& name) {
    const std::lock_guard lock(mutex);
    past[id] = {streams[id]->received(), streams[id]->sent()};
    streams.erase(id);
    attending_.erase(name);
  }

  Visitors visitors_;
  Watchdog watchdog_;
  std::uint64_t last_number = 0;
  std::set<std::string> attending_;
};

class GrpcServer final : public Server {
 public:
  ~GrpcServer() override { Shutdown(std::chrono::milliseconds(0)); }

  base::Status Open(const std::string& listen, const TlsFiles& files) {
    RequireTls13();
    CLOISTER_RETURN_IF_ERROR(CheckAddress(listen));
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = files.authority_pem;
    options.pem_key_cert_pairs.push_back({files.key_pem, files.certificate_pem});
    grpc::ServerBuilder builder;
    grpc::ResourceQuota quota("federation");
    quota.SetMaxThreads(kMostThreads);
    builder.SetResourceQuota(quota);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMostCallsOfAConnection);
    int port = 0;
    builder.AddListeningPort(listen, grpc::SslServerCredentials(options), &port);
    builder.SetMaxReceiveMessageSize(static_cast<int>(kLongestMessage));
    builder.SetMaxSendMessageSize(static_cast<int>(kLongestMessage));
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (!server_ || port == 0) {
      return base::Fail(base::Code::kUnavailable,
                        "cannot listen on " + listen + ": the address is taken or not this host's");
    }
    address_ = listen.substr(0, listen.rfind(':') + 1) + std::to_string(port);
    return {};
  }

  std::string address() const override { return address_; }

  base::Result<Event> Next(std::chrono::steady_clock::time_point deadline,
                           std::stop_token stop) override {
    return service_.events.Pop(deadline, std::move(stop));
  }

  void Send(ConnectionId connection, CoordinatorMessage message) override {
    if (const auto stream = service_.Find(connection)) stream->Send(message);
  }

  void Close(ConnectionId connection, End end) override {
    if (const auto stream = service_.Find(connection)) stream->Close(end);
  }

  void Answer(std::uint64_t submission, base::Status status) override {
    const std::lock_guard lock(service_.mutex);
    const auto found = service_.answers.find(submission);
    if (found == service_.answers.end()) return;
    found->second = std::move(status);
    service_.answered.notify_all();
  }

  Traffic TrafficOf(ConnectionId connection) const override {
    if (const auto stream = service_.Find(connection)) {
      return {stream->received(), stream->sent()};
    }
    const std::lock_guard lock(service_.mutex);
    const auto found = service_.past.find(connection);
    return found == service_.past.end() ? Traffic{} : found->second;
  }

  void Shutdown(std::chrono::milliseconds patience) override {
    if (!server_) return;
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!StreamsEnded() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    service_.events.Close();
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }

 private:
  bool StreamsEnded() const {
    const std::lock_guard lock(service_.mutex);
    return service_.streams.empty();
  }

  Service service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace

base::Result<std::unique_ptr<Server>> Server::Start(const std::string& listen,
                                                    const TlsFiles& files) {
  auto server = std::make_unique<GrpcServer>();
  CLOISTER_RETURN_IF_ERROR(server->Open(listen, files));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace cloister::federation::rpc
