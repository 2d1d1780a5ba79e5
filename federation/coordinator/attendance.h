#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "federation/job/signed_job.h"
#include "federation/protocol/parameters.h"
#include "federation/rpc/server.h"

namespace cloister::federation::coordinator {

// Who attends, and what they say about the job. Turns the server's events into the two that a round
// needs: a site's message, a site's loss. Not thread-safe.
class Attendance {
 public:
  explicit Attendance(rpc::Server& server) : server_(server) {}

  // Waits for a job; sites that come meanwhile attend. kCancelled when `stop` is requested. The
  // submission must be answered (Server::Answer).
  base::Result<rpc::Submitted> WaitForJob(std::stop_token stop);

  // Offers the job to every site that attends now or later; sites that it does not name are refused
  // (kPermissionDenied). `words`: d, which a site's own model must agree on.
  void Offer(job::SignedJob signed_job, const job::Job& job, std::uint64_t words);

  struct Incoming {
    protocol::SiteIndex site = 0;
    std::optional<protocol::Bytes> message;  // none: the site is lost
  };
  // Handles the next event; a value only when a round may care. kDeadlineExceeded, kCancelled.
  base::Result<std::optional<Incoming>> Next(std::chrono::steady_clock::time_point deadline,
                                             std::stop_token stop);

  std::set<protocol::SiteIndex> ready() const;  // attend now and have accepted the job
  // Sites that will not take part, with their reasons.
  const std::map<protocol::SiteIndex, std::string>& declined() const { return declined_; }

  void Send(protocol::SiteIndex site, rpc::CoordinatorMessage message);
  // Tells a site why it is put out. Nothing more comes of this connection, nor is its end told; the
  // site may dial again.
  void Drop(protocol::SiteIndex site, const base::Error& error);
  // Ends the job for every site that attends.
  void EndJob(const rpc::End& end);

  const std::string& NameOf(protocol::SiteIndex site) const { return names_.at(site); }
  std::vector<std::string> NamesOf(const std::set<protocol::SiteIndex>& sites) const;
  // Over every connection that the site had.
  rpc::Server::Traffic TrafficOf(protocol::SiteIndex site) const;

 private:
  struct Member {
    std::string name;
    std::optional<protocol::SiteIndex> index;  // in the job offered
    bool accepted = false;
  };

  void Invite(rpc::ConnectionId connection, Member& member);
  std::optional<Incoming> Handle(rpc::Attended event);
  std::optional<Incoming> Handle(rpc::Received event);
  std::optional<Incoming> Handle(rpc::Lost event);
  std::optional<Incoming> Handle(rpc::Submitted event);
  std::optional<Incoming> Take(rpc::ConnectionId connection, Member& member,
                               const rpc::Accepted& accepted);
  using Members = std::map<rpc::ConnectionId, Member>;
  Members::const_iterator Find(protocol::SiteIndex site) const;

  rpc::Server& server_;
  Members members_;
  std::optional<job::SignedJob> offered_;
  std::uint64_t words_ = 0;
  std::vector<std::string> names_;  // in the job's order
  std::map<protocol::SiteIndex, std::string> declined_;
  std::map<protocol::SiteIndex, std::vector<rpc::ConnectionId>> connections_;
};

}  // namespace cloister::federation::coordinator
