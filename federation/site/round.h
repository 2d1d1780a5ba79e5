#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "federation/job/job.h"
#include "federation/protocol/parameters.h"
#include "federation/protocol/site_session.h"
#include "federation/rpc/client.h"
#include "federation/site/inbox.h"
#include "federation/site/journal.h"
#include "federation/site/worker_channel.h"

namespace cloister::federation::site {

// What every round of a job needs at a site.
struct RoundEnvironment {
  const job::Job& job;
  std::shared_ptr<const protocol::Terms> terms;
  protocol::SiteIndex self = 0;
  std::shared_ptr<const security::Ed25519KeyPair> identity;
  Journal& journal;
  std::filesystem::path outbox;  // where messages lie before their first byte is sent
  rpc::SiteStream& stream;
  Inbox& inbox;
  // The worker's update for this round; the spend is durable before it returns.
  std::function<base::Result<std::vector<std::int64_t>>(std::uint64_t round, std::uint64_t attempt,
                                                        std::span<const float> parameters)>
      train;
};

// One attempt of a round, phases 0 to 4. Any error means that the site has left the attempt: its
// keys are gone, and the caller ends the stream.
class Round {
 public:
  Round(const RoundEnvironment& environment, const rpc::Round& round)
      : environment_(environment), round_(round) {}

  base::Status Run();

  // The parameters that follow a Round message, checked against its size and hash; each part must
  // come within `seconds`.
  static base::Result<protocol::Bytes> ReceiveParameters(Inbox& inbox, const rpc::Round& round,
                                                         std::uint64_t values,
                                                         std::int64_t seconds);

 private:
  base::Result<protocol::Shared> AdvertiseAndShare(const protocol::AttemptId& attempt);
  base::Result<protocol::Masked> TrainAndUpload(protocol::Paired paired,
                                                const protocol::AttemptId& attempt);
  base::Status Upload(const protocol::MaskedUpload& upload);
  base::Status CommitAndReveal(protocol::Masked masked);
  base::Status Send(const protocol::Bytes& message);
  base::Status Keep(const std::string& name, std::span<const std::uint8_t> bytes);
  base::Result<protocol::Bytes> Await(const std::string& what, std::int64_t seconds);

  const RoundEnvironment& environment_;
  const rpc::Round round_;
  protocol::Bytes parameters_;
};

}  // namespace cloister::federation::site
