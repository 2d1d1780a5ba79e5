#include "federation/rpc/convert.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace cloister::federation::rpc {
namespace {

constexpr std::size_t kLongestText = 4096;

template <typename Range>
std::string Text(const Range& bytes) {
  return {bytes.begin(), bytes.end()};
}

template <std::size_t N>
base::Result<std::array<std::uint8_t, N>> Fixed(const std::string& bytes, const char* field) {
  if (bytes.size() != N) {
    return base::Fail(base::Code::kDataLoss, std::string("a message's field '") + field + "' has " +
                                                 std::to_string(bytes.size()) + " bytes and not " +
                                                 std::to_string(N));
  }
  std::array<std::uint8_t, N> array{};
  std::copy(bytes.begin(), bytes.end(), array.begin());
  return array;
}

struct SiteFiller {
  v1::SiteMessage& wire;
  void operator()(const Hello& hello) const {
    wire.mutable_hello()->set_version(hello.version);
    wire.mutable_hello()->set_site(hello.site);
  }
  void operator()(const Accepted& accepted) const {
    wire.mutable_accepted()->set_job_hash(Text(accepted.job));
    wire.mutable_accepted()->set_parameters(accepted.parameters);
  }
  void operator()(const Protocol& protocol) const { wire.set_protocol(Text(protocol.bytes)); }
  void operator()(const End& end) const {
    wire.mutable_end()->set_code(static_cast<std::uint32_t>(end.code));
    wire.mutable_end()->set_message(end.message.substr(0, kLongestText));
  }
};

struct CoordinatorFiller {
  v1::CoordinatorMessage& wire;
  void operator()(const job::SignedJob& job) const { *wire.mutable_job() = ToWire(job); }
  void operator()(const Round& round) const {
    v1::Round* to = wire.mutable_round();
    to->set_round(round.round);
    to->set_attempt(round.attempt);
    to->set_bytes(round.bytes);
    to->set_sha256(Text(round.sha256));
    to->set_last(round.last);
  }
  void operator()(const ParameterChunk& chunk) const {
    wire.mutable_parameters()->set_offset(chunk.offset);
    wire.mutable_parameters()->set_data(Text(chunk.data));
  }
  void operator()(const Protocol& protocol) const { wire.set_protocol(Text(protocol.bytes)); }
  void operator()(const UploadAck& ack) const { wire.mutable_ack()->set_received(ack.received); }
  void operator()(const End& end) const {
    wire.mutable_end()->set_code(static_cast<std::uint32_t>(end.code));
    wire.mutable_end()->set_message(end.message.substr(0, kLongestText));
  }
};

base::Result<End> EndFromWire(const v1::End& wire) {
  if (wire.code() > 16 || wire.message().size() > kLongestText) {
    return base::Fail(base::Code::kDataLoss, "a message's end has no valid code or text");
  }
  return End{static_cast<base::Code>(wire.code()), wire.message()};
}

base::Result<Round> RoundFromWire(const v1::Round& wire) {
  Round round;
  round.round = wire.round();
  round.attempt = wire.attempt();
  round.bytes = wire.bytes();
  round.last = wire.last();
  CLOISTER_ASSIGN_OR_RETURN(round.sha256, Fixed<32>(wire.sha256(), "sha256"));
  return round;
}

protocol::Bytes BytesOf(const std::string& text) { return {text.begin(), text.end()}; }

}  // namespace

v1::SiteMessage ToWire(const SiteMessage& message) {
  v1::SiteMessage wire;
  std::visit(SiteFiller{wire}, message);
  return wire;
}

v1::CoordinatorMessage ToWire(const CoordinatorMessage& message) {
  v1::CoordinatorMessage wire;
  std::visit(CoordinatorFiller{wire}, message);
  return wire;
}

v1::SignedJob ToWire(const job::SignedJob& job) {
  v1::SignedJob wire;
  wire.set_job(job.job);
  wire.set_submitter(Text(job.submitter));
  wire.set_signature(Text(job.signature));
  return wire;
}

base::Result<SiteMessage> FromWire(const v1::SiteMessage& wire) {
  switch (wire.kind_case()) {
    case v1::SiteMessage::kHello:
      return SiteMessage(Hello{wire.hello().version(), wire.hello().site()});
    case v1::SiteMessage::kAccepted: {
      Accepted accepted;
      CLOISTER_ASSIGN_OR_RETURN(accepted.job, DigestFromWire(wire.accepted().job_hash()));
      accepted.parameters = wire.accepted().parameters();
      return SiteMessage(accepted);
    }
    case v1::SiteMessage::kProtocol:
      return SiteMessage(Protocol{BytesOf(wire.protocol())});
    case v1::SiteMessage::kEnd: {
      CLOISTER_ASSIGN_OR_RETURN(End end, EndFromWire(wire.end()));
      return SiteMessage(std::move(end));
    }
    default:
      return base::Fail(base::Code::kDataLoss, "a message of an unknown kind");
  }
}

base::Result<CoordinatorMessage> FromWire(const v1::CoordinatorMessage& wire) {
  switch (wire.kind_case()) {
    case v1::CoordinatorMessage::kJob: {
      CLOISTER_ASSIGN_OR_RETURN(job::SignedJob job, FromWire(wire.job()));
      return CoordinatorMessage(std::move(job));
    }
    case v1::CoordinatorMessage::kRound: {
      CLOISTER_ASSIGN_OR_RETURN(Round round, RoundFromWire(wire.round()));
      return CoordinatorMessage(round);
    }
    case v1::CoordinatorMessage::kParameters:
      return CoordinatorMessage(
          ParameterChunk{wire.parameters().offset(), BytesOf(wire.parameters().data())});
    case v1::CoordinatorMessage::kProtocol:
      return CoordinatorMessage(Protocol{BytesOf(wire.protocol())});
    case v1::CoordinatorMessage::kAck:
      return CoordinatorMessage(UploadAck{wire.ack().received()});
    case v1::CoordinatorMessage::kEnd: {
      CLOISTER_ASSIGN_OR_RETURN(End end, EndFromWire(wire.end()));
      return CoordinatorMessage(std::move(end));
    }
    default:
      return base::Fail(base::Code::kDataLoss, "a message of an unknown kind");
  }
}

base::Result<job::SignedJob> FromWire(const v1::SignedJob& wire) {
  job::SignedJob job;
  if (wire.job().size() > job::kLongestJob) {
    return base::Fail(base::Code::kDataLoss, "the job is longer than 1 MiB");
  }
  job.job = wire.job();
  CLOISTER_ASSIGN_OR_RETURN(job.submitter, Fixed<32>(wire.submitter(), "submitter"));
  CLOISTER_ASSIGN_OR_RETURN(job.signature, Fixed<64>(wire.signature(), "signature"));
  return job;
}

base::Result<security::Sha256Digest> DigestFromWire(const std::string& bytes) {
  return Fixed<32>(bytes, "job_hash");
}

grpc::Status ToGrpc(const base::Error& error) {
  return {static_cast<grpc::StatusCode>(error.code), error.message};
}

}  // namespace cloister::federation::rpc
