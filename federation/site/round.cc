#include "federation/site/round.h"

#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "federation/job/round_context.h"
#include "federation/protocol/messages.h"
#include "federation/site/cut_off.h"

namespace cloister::federation::site {

base::Result<protocol::Bytes> Round::ReceiveParameters(Inbox& inbox, const rpc::Round& round,
                                                       std::uint64_t values, std::int64_t seconds) {
  if (round.bytes != values * sizeof(float)) {
    return base::Fail(base::Code::kDataLoss, "the coordinator's parameters have a wrong size");
  }
  protocol::Bytes bytes;
  while (bytes.size() < round.bytes) {
    CLOISTER_ASSIGN_OR_RETURN(const auto chunk,
                              inbox.Expect<rpc::ParameterChunk>("the round's parameters", seconds));
    if (chunk.offset != bytes.size() || chunk.data.empty() ||
        chunk.data.size() > round.bytes - bytes.size()) {
      return base::Fail(base::Code::kDataLoss, "the coordinator's parameters come out of order");
    }
    bytes.insert(bytes.end(), chunk.data.begin(), chunk.data.end());
  }
  if (security::HashBytes(bytes) != round.sha256) {
    return base::Fail(base::Code::kDataLoss, "the coordinator's parameters miss their hash");
  }
  return bytes;
}

base::Status Round::Run() {
  CLOISTER_ASSIGN_OR_RETURN(parameters_,
                            ReceiveParameters(environment_.inbox, round_, environment_.terms->words,
                                              environment_.job.timeouts.advertise));
  const protocol::AttemptId attempt{environment_.terms->job, round_.round, round_.attempt};
  CLOISTER_ASSIGN_OR_RETURN(protocol::Shared shared, AdvertiseAndShare(attempt));
  CLOISTER_ASSIGN_OR_RETURN(const protocol::Bytes bytes,
                            Await("the delivery of shares", environment_.job.timeouts.share));
  CLOISTER_ASSIGN_OR_RETURN(const protocol::Delivery delivery, protocol::DecodeDelivery(bytes));
  CLOISTER_ASSIGN_OR_RETURN(protocol::Paired paired, std::move(shared).Pair(delivery));
  CLOISTER_ASSIGN_OR_RETURN(protocol::Masked masked, TrainAndUpload(std::move(paired), attempt));
  return CommitAndReveal(std::move(masked));
}

base::Result<protocol::Shared> Round::AdvertiseAndShare(const protocol::AttemptId& attempt) {
  CLOISTER_ASSIGN_OR_RETURN(const protocol::PastChoices past, environment_.journal.Past());
  CLOISTER_ASSIGN_OR_RETURN(
      auto start, protocol::Advertised::Start(environment_.terms, attempt, environment_.self,
                                              environment_.identity, past));
  CLOISTER_RETURN_IF_ERROR(environment_.journal.Append(start.record()));
  auto advertised = std::move(start).AfterPersisted();
  CLOISTER_RETURN_IF_ERROR(Send(protocol::Encode(advertised.message)));
  CLOISTER_ASSIGN_OR_RETURN(const protocol::Bytes bytes,
                            Await("the roster", environment_.job.timeouts.advertise));
  CLOISTER_ASSIGN_OR_RETURN(const protocol::Roster roster, protocol::DecodeRoster(bytes));
  CLOISTER_ASSIGN_OR_RETURN(auto shared, std::move(advertised.state).Share(roster));
  const protocol::Bytes deal = protocol::Encode(shared.message);
  CLOISTER_RETURN_IF_ERROR(Keep("shares", deal));
  CLOISTER_RETURN_IF_ERROR(Send(deal));
  return std::move(shared.state);
}

base::Result<protocol::Masked> Round::TrainAndUpload(protocol::Paired paired,
                                                     const protocol::AttemptId& attempt) {
  base::LogInfo("round " + std::to_string(round_.round) + ": training");
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<float> parameters,
                            job::DecodeParameters(parameters_, environment_.terms->words));
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::int64_t> values,
                            environment_.train(attempt.round, attempt.attempt, parameters));
  const auto context = job::ContextOf(environment_.job, attempt.round, parameters_);
  CLOISTER_ASSIGN_OR_RETURN(auto masked, std::move(paired).Mask(values, context));
  CLOISTER_RETURN_IF_ERROR(Upload(masked.message));
  return std::move(masked.state);
}

base::Status Round::Upload(const protocol::MaskedUpload& upload) {
  // Everything that will be sent, on disk before its first byte is: no mask meets a second vector.
  const std::size_t chunks = upload.ChunkCount(rpc::kChunkBytes);
  protocol::Writer whole;
  for (std::size_t i = 0; i < chunks; ++i) {
    whole.Fixed(upload.Chunk(i, rpc::kChunkBytes).bytes);
  }
  whole.Fixed(protocol::Encode(upload.seal()));
  CLOISTER_RETURN_IF_ERROR(Keep("upload", whole.bytes()));
  std::uint64_t sent = 0;
  for (std::size_t i = 0; i < chunks; ++i) {
    const protocol::UploadChunk chunk = upload.Chunk(i, rpc::kChunkBytes);
    sent += chunk.bytes.size();
    CLOISTER_RETURN_IF_ERROR(Send(protocol::Encode(chunk)));
    CLOISTER_ASSIGN_OR_RETURN(const auto ack,
                              environment_.inbox.Expect<rpc::UploadAck>(
                                  "an upload's acknowledgement", environment_.job.timeouts.upload));
    if (ack.received != sent) {
      return base::Fail(base::Code::kDataLoss, "the coordinator lost a part of the upload");
    }
  }
  return Send(protocol::Encode(upload.seal()));
}

base::Status Round::CommitAndReveal(protocol::Masked masked) {
  CLOISTER_ASSIGN_OR_RETURN(const protocol::Bytes set_bytes,
                            Await("the survivor set", environment_.job.timeouts.upload));
  CLOISTER_ASSIGN_OR_RETURN(const auto set, protocol::DecodeSurvivorSet(set_bytes));
  CLOISTER_ASSIGN_OR_RETURN(const protocol::PastChoices past, environment_.journal.Past());
  CLOISTER_ASSIGN_OR_RETURN(auto commit, std::move(masked).Commit(set, past));
  CLOISTER_RETURN_IF_ERROR(environment_.journal.Append(commit.record()));
  auto committed = std::move(commit).AfterPersisted();
  CLOISTER_RETURN_IF_ERROR(Send(protocol::Encode(committed.message)));
  CLOISTER_ASSIGN_OR_RETURN(const protocol::Bytes votes_bytes,
                            Await("the votes", environment_.job.timeouts.commit));
  CLOISTER_ASSIGN_OR_RETURN(const auto votes, protocol::DecodeCommitVotes(votes_bytes));
  CLOISTER_ASSIGN_OR_RETURN(const protocol::PastChoices now, environment_.journal.Past());
  CLOISTER_ASSIGN_OR_RETURN(auto reveal, std::move(committed.state).Reveal(votes, now));
  CLOISTER_RETURN_IF_ERROR(environment_.journal.Append(reveal.record()));
  const auto revealed = std::move(reveal).AfterPersisted();
  CLOISTER_RETURN_IF_ERROR(Send(protocol::Encode(revealed.message)));
  return {};
}

base::Status Round::Send(const protocol::Bytes& message) {
  const CutOff cut_off(
      environment_.stream,
      environment_.inbox.patience() + std::chrono::seconds(environment_.job.timeouts.upload));
  if (auto status = environment_.stream.Send(rpc::Protocol{message}); !status) {
    // What the coordinator said before it hung up tells more.
    if (const auto ended = environment_.inbox.ended()) return tl::unexpected<base::Error>(*ended);
    return status;
  }
  return {};
}

base::Status Round::Keep(const std::string& name, std::span<const std::uint8_t> bytes) {
  return base::WriteFile(environment_.outbox / name,
                         {reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                         base::AtomicFile::kPrivateMode);
}

base::Result<protocol::Bytes> Round::Await(const std::string& what, std::int64_t seconds) {
  CLOISTER_ASSIGN_OR_RETURN(auto message, environment_.inbox.Expect<rpc::Protocol>(what, seconds));
  return std::move(message.bytes);
}

}  // namespace cloister::federation::site
