#include "federation/coordinator/attendance.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace cloister::federation::coordinator {
namespace {

security::Sha256Digest HashOf(const job::SignedJob& job) {
  return security::HashBytes(
      {reinterpret_cast<const std::uint8_t*>(job.job.data()), job.job.size()});
}

}  // namespace

base::Result<rpc::Submitted> Attendance::WaitForJob(std::stop_token stop) {
  for (;;) {
    const auto soon = std::chrono::steady_clock::now() + std::chrono::hours(1);
    base::Result<rpc::Event> event = server_.Next(soon, stop);
    if (!event) {
      if (event.error().code == base::Code::kDeadlineExceeded) continue;
      return base::Forward(std::move(event));
    }
    if (auto* submitted = std::get_if<rpc::Submitted>(&*event)) return std::move(*submitted);
    std::visit([this](auto& inner) { Handle(std::move(inner)); }, *event);
  }
}

void Attendance::Offer(job::SignedJob signed_job, const job::Job& job, std::uint64_t words) {
  offered_ = std::move(signed_job);
  words_ = words;
  names_.clear();
  declined_.clear();
  connections_.clear();
  for (const job::JobSite& site : job.sites) names_.push_back(site.name);
  for (auto& [connection, member] : members_) Invite(connection, member);
}

base::Result<std::optional<Attendance::Incoming>> Attendance::Next(
    std::chrono::steady_clock::time_point deadline, std::stop_token stop) {
  CLOISTER_ASSIGN_OR_RETURN(rpc::Event event, server_.Next(deadline, std::move(stop)));
  return std::visit([this](auto& inner) { return Handle(std::move(inner)); }, event);
}

void Attendance::Invite(rpc::ConnectionId connection, Member& member) {
  const auto found = std::find(names_.begin(), names_.end(), member.name);
  member.accepted = false;
  member.index.reset();
  if (found == names_.end()) {
    base::LogWarning("site " + member.name + " attends, but the job does not name it: refused");
    server_.Close(connection,
                  {base::Code::kPermissionDenied,
                   "the job does not name site " + member.name + ": ask its submitter to add it"});
    return;
  }
  member.index = static_cast<protocol::SiteIndex>(found - names_.begin());
  declined_.erase(*member.index);
  connections_[*member.index].push_back(connection);
  server_.Send(connection, *offered_);
}

std::optional<Attendance::Incoming> Attendance::Handle(rpc::Attended event) {
  base::LogInfo("site " + event.site + " attends");
  Member& member = members_[event.connection];
  member.name = event.site;
  if (offered_) Invite(event.connection, member);
  return std::nullopt;
}

std::optional<Attendance::Incoming> Attendance::Handle(rpc::Received event) {
  const auto found = members_.find(event.connection);
  if (found == members_.end()) return std::nullopt;
  Member& member = found->second;
  if (auto* end = std::get_if<rpc::End>(&event.message)) {
    if (member.index && !member.accepted) declined_[*member.index] = end->message;
    base::LogWarning("site " + member.name + " leaves: " + end->message);
    server_.Close(event.connection, {});
    return std::nullopt;  // Lost follows
  }
  if (auto* accepted = std::get_if<rpc::Accepted>(&event.message)) {
    return Take(event.connection, member, *accepted);
  }
  auto* message = std::get_if<rpc::Protocol>(&event.message);
  if (message == nullptr || !member.accepted) {
    server_.Close(event.connection, {base::Code::kFailedPrecondition,
                                     "a message that the coordinator did not await"});
    return std::nullopt;
  }
  return Incoming{*member.index, std::move(message->bytes)};
}

std::optional<Attendance::Incoming> Attendance::Take(rpc::ConnectionId connection, Member& member,
                                                     const rpc::Accepted& accepted) {
  if (!offered_ || !member.index || member.accepted || accepted.job != HashOf(*offered_)) {
    server_.Close(connection,
                  {base::Code::kFailedPrecondition, "it accepts a job that was not offered"});
    return std::nullopt;
  }
  if (accepted.parameters != words_) {
    const std::string reason = "its model gives an adapter of " +
                               std::to_string(accepted.parameters) + " values, the coordinator's " +
                               std::to_string(words_) + ": use the same model file";
    declined_[*member.index] = reason;
    server_.Close(connection, {base::Code::kFailedPrecondition, reason});
    return std::nullopt;
  }
  member.accepted = true;
  base::LogInfo("site " + member.name + " is ready");
  return std::nullopt;
}

std::optional<Attendance::Incoming> Attendance::Handle(rpc::Lost event) {
  const auto found = members_.find(event.connection);
  if (found == members_.end()) return std::nullopt;
  const Member member = std::move(found->second);
  members_.erase(found);
  base::LogInfo("site " + member.name + " is gone");
  if (!member.index || !member.accepted) return std::nullopt;
  return Incoming{*member.index, std::nullopt};
}

std::optional<Attendance::Incoming> Attendance::Handle(rpc::Submitted event) {
  server_.Answer(event.submission,
                 base::Fail(base::Code::kFailedPrecondition,
                            "another job is running: submit again when it has ended"));
  return std::nullopt;
}

std::set<protocol::SiteIndex> Attendance::ready() const {
  std::set<protocol::SiteIndex> sites;
  for (const auto& [connection, member] : members_) {
    if (member.accepted) sites.insert(*member.index);
  }
  return sites;
}

Attendance::Members::const_iterator Attendance::Find(protocol::SiteIndex site) const {
  return std::find_if(members_.begin(), members_.end(), [site](const auto& entry) {
    return entry.second.accepted && entry.second.index == site;
  });
}

void Attendance::Send(protocol::SiteIndex site, rpc::CoordinatorMessage message) {
  const auto found = Find(site);
  if (found != members_.end()) server_.Send(found->first, std::move(message));
}

void Attendance::Drop(protocol::SiteIndex site, const base::Error& error) {
  const auto found = Find(site);
  if (found == members_.end()) return;
  base::LogWarning("site " + NameOf(site) + " is put out: " + error.message);
  server_.Close(found->first, {error.code, error.message});
  // Also of what it sent before and what waits in line nothing counts any more.
  Member& member = members_.at(found->first);
  member.accepted = false;
  member.index.reset();
}

void Attendance::EndJob(const rpc::End& end) {
  for (auto& [connection, member] : members_) {
    server_.Close(connection, end);
    member.accepted = false;
    member.index.reset();
  }
  offered_.reset();
}

std::vector<std::string> Attendance::NamesOf(const std::set<protocol::SiteIndex>& sites) const {
  std::vector<std::string> names;
  for (const protocol::SiteIndex site : sites) names.push_back(NameOf(site));
  return names;
}

rpc::Server::Traffic Attendance::TrafficOf(protocol::SiteIndex site) const {
  rpc::Server::Traffic total;
  const auto found = connections_.find(site);
  if (found == connections_.end()) return total;
  for (const rpc::ConnectionId connection : found->second) {
    const rpc::Server::Traffic traffic = server_.TrafficOf(connection);
    total.sent += traffic.sent;
    total.received += traffic.received;
  }
  return total;
}

}  // namespace cloister::federation::coordinator
