#include "federation/rpc/client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <atomic>
#include <optional>
#include <thread>
#include <utility>

#include "federation.grpc.pb.h"
#include "federation/rpc/convert.h"

namespace cloister::federation::rpc {
namespace {

using Stub = v1::Federation::Stub;
using Stream = grpc::ClientReaderWriter<v1::SiteMessage, v1::CoordinatorMessage>;

std::unique_ptr<Stub> MakeStub(const std::string& coordinator, const TlsFiles& files) {
  RequireTls13();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = files.authority_pem;
  options.pem_private_key = files.key_pem;
  options.pem_cert_chain = files.certificate_pem;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(static_cast<int>(kLongestMessage));
  arguments.SetMaxSendMessageSize(static_cast<int>(kLongestMessage));
  // A peer that vanished without closing is noticed within a minute.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // No channel is shared between identities of one process.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return v1::Federation::NewStub(
      grpc::CreateCustomChannel(coordinator, grpc::SslCredentials(options), arguments));
}

bool NotListening(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().find("Connection refused") != std::string::npos;
}

tl::unexpected<base::Error> Refused(const std::string& coordinator, const grpc::Status& status) {
  std::string message = "coordinator " + coordinator + ": ";
  if (NotListening(status)) {
    message += "nothing listens there: check the address, start the coordinator";
  } else if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    message += "the connection was refused or lost (" + status.error_message() +
               "): check the address, and that both certificates are of the same authority";
  } else {
    message += status.error_message();
  }
  auto code = status.ok() ? base::Code::kUnavailable : static_cast<base::Code>(status.error_code());
  // gRPC's own word for a server without room is no refusal by a policy or a budget.
  if (code == base::Code::kResourceExhausted) code = base::Code::kUnavailable;
  return base::Fail(code, message);
}

tl::unexpected<base::Error> Stopped(const std::string& coordinator) {
  return base::Fail(base::Code::kCancelled, "coordinator " + coordinator +
                                                ": this site was stopped by a signal: start it "
                                                "again to join the next round");
}

class GrpcSiteStream final : public SiteStream {
 public:
  GrpcSiteStream(std::string coordinator, std::unique_ptr<Stub> stub, std::stop_token stop)
      : coordinator_(std::move(coordinator)), stub_(std::move(stub)), stop_(std::move(stop)) {
    cancel_.emplace(stop_, BreakOff{&context_});
  }

  ~GrpcSiteStream() override {
    context_.TryCancel();
    Finish();
  }

  // Opens the stream; its first answer comes with the first message, so the handshake's outcome is
  // awaited here by the server's initial metadata.
  grpc::Status Open(const Hello& hello) {
    stream_ = stub_->Attend(&context_);
    const bool written = stream_->Write(ToWire(SiteMessage(hello)));
    if (written) stream_->WaitForInitialMetadata();
    if (written && context_.GetServerInitialMetadata().contains(kVersionKey)) {
      return grpc::Status::OK;
    }
    Finish();
    return status_.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "it ended the stream")
                        : status_;
  }

  base::Status Send(const SiteMessage& message) override {
    const v1::SiteMessage wire = ToWire(message);
    if (!stream_->Write(wire)) {
      return base::Fail(base::Code::kUnavailable,
                        "coordinator " + coordinator_ + ": the connection is lost");
    }
    sent_ += wire.ByteSizeLong();
    return {};
  }

  base::Result<CoordinatorMessage> Receive() override {
    v1::CoordinatorMessage wire;
    if (!stream_->Read(&wire)) {
      Finish();
      if (stop_.stop_requested()) return Stopped(coordinator_);
      return Refused(coordinator_, status_);
    }
    received_ += wire.ByteSizeLong();
    return FromWire(wire);
  }

  void Leave(const End& end) override {
    stream_->Write(ToWire(SiteMessage(end)));
    stream_->WritesDone();
  }

  void Cancel() override { context_.TryCancel(); }

  std::uint64_t bytes_sent() const override { return sent_; }
  std::uint64_t bytes_received() const override { return received_; }

 private:
  struct BreakOff {
    grpc::ClientContext* context;
    void operator()() const { context->TryCancel(); }
  };

  void Finish() {
    if (finished_ || !stream_) return;
    finished_ = true;
    status_ = stream_->Finish();
  }

  std::string coordinator_;
  std::unique_ptr<Stub> stub_;
  std::stop_token stop_;
  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
  std::optional<std::stop_callback<BreakOff>> cancel_;
  grpc::Status status_;
  bool finished_ = false;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> received_{0};
};

}  // namespace

base::Result<std::unique_ptr<SiteStream>> SiteStream::Dial(const std::string& coordinator,
                                                           const TlsFiles& files,
                                                           std::chrono::seconds patience,
                                                           std::stop_token stop) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    auto stream = std::make_unique<GrpcSiteStream>(coordinator, MakeStub(coordinator, files), stop);
    const grpc::Status status = stream->Open({kVersion, files.name});
    if (status.ok()) return std::unique_ptr<SiteStream>(std::move(stream));
    if (stop.stop_requested()) return Stopped(coordinator);
    if (!NotListening(status) || std::chrono::steady_clock::now() >= deadline) {
      return Refused(coordinator, status);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

base::Status SubmitJob(const std::string& coordinator, const TlsFiles& files,
                       const job::SignedJob& job) {
  const std::unique_ptr<Stub> stub = MakeStub(coordinator, files);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  v1::SubmitReply reply;
  const grpc::Status status = stub->Submit(&context, ToWire(job), &reply);
  if (!status.ok()) return Refused(coordinator, status);
  CLOISTER_ASSIGN_OR_RETURN(const security::Sha256Digest hash, DigestFromWire(reply.job_hash()));
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(job.job.data());
  if (hash != security::HashBytes({bytes, job.job.size()})) {
    return base::Fail(base::Code::kDataLoss,
                      "coordinator " + coordinator + ": it confirmed another job");
  }
  return {};
}

}  // namespace cloister::federation::rpc
