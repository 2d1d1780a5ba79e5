#include "tests/protocol/simulated_federation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <utility>

namespace cloister::federation::protocol {
namespace {

constexpr std::size_t kChunkBytes = 64;

// The decoder of each message, by type.
base::Result<Advertisement> Decode(const Advertisement*, ByteView b) {
  return DecodeAdvertisement(b);
}
base::Result<Roster> Decode(const Roster*, ByteView b) { return DecodeRoster(b); }
base::Result<Deal> Decode(const Deal*, ByteView b) { return DecodeDeal(b); }
base::Result<Delivery> Decode(const Delivery*, ByteView b) { return DecodeDelivery(b); }
base::Result<UploadChunk> Decode(const UploadChunk*, ByteView b) { return DecodeUploadChunk(b); }
base::Result<UploadSeal> Decode(const UploadSeal*, ByteView b) { return DecodeUploadSeal(b); }
base::Result<SurvivorSet> Decode(const SurvivorSet*, ByteView b) { return DecodeSurvivorSet(b); }
base::Result<CommitVote> Decode(const CommitVote*, ByteView b) { return DecodeCommitVote(b); }
base::Result<CommitVotes> Decode(const CommitVotes*, ByteView b) { return DecodeCommitVotes(b); }
base::Result<RevealedShares> Decode(const RevealedShares*, ByteView b) {
  return DecodeRevealedShares(b);
}

Sites Without(Sites sites, const Losses& losses, Leaves point) {
  for (const auto& [site, leaves] : losses) {
    if (leaves <= point) sites.erase(site);
  }
  return sites;
}

}  // namespace

template <typename Message>
Message OverTheWire(const Message& message) {
  const auto decoded = Decode(static_cast<const Message*>(nullptr), Encode(message));
  EXPECT_TRUE(decoded.has_value()) << decoded.error().message;
  EXPECT_TRUE(*decoded == message);
  return *decoded;
}

template Roster OverTheWire(const Roster&);
template Delivery OverTheWire(const Delivery&);
template SurvivorSet OverTheWire(const SurvivorSet&);
template CommitVotes OverTheWire(const CommitVotes&);

SimulatedFederation::SimulatedFederation(std::uint32_t site_count, std::uint32_t colluders,
                                         std::uint64_t words, std::uint32_t seed,
                                         std::uint64_t round)
    : random_(seed) {
  auto job = std::make_shared<Terms>();
  job->job = security::HashBytes(Bytes{1, 2, 3});
  job->parameters = ParametersFor(site_count, colluders, kMinimumCohort);
  job->words = words;
  context = HashContext({security::HashBytes(Bytes{4}), security::HashBytes(Bytes{5}), round,
                         security::HashBytes(Bytes{6})});
  std::uniform_int_distribution<std::int64_t> value(-200000, 200000);
  for (std::uint32_t i = 0; i < site_count; ++i) {
    SimulatedSite site;
    site.identity = std::make_shared<security::Ed25519KeyPair>(security::GenerateEd25519());
    site.context = context;
    site.values.resize(words);
    for (std::int64_t& word : site.values) word = value(random_);
    std::string name("site-");
    name += static_cast<char>('a' + i % 26);
    if (i >= 26) name += std::to_string(i);
    job->sites.push_back({name, site.identity->public_key});
    sites.push_back(std::move(site));
  }
  attempt = {job->job, round, 0};
  terms = std::move(job);
  auto started = Advertising::Start(terms, attempt, context);
  EXPECT_TRUE(started.has_value()) << started.error().message;
  advertising = std::move(*started);
}

Sites SimulatedFederation::All() const {
  Sites all;
  for (std::size_t i = 0; i < sites.size(); ++i) all.insert(static_cast<SiteIndex>(i));
  return all;
}

std::vector<std::int64_t> SimulatedFederation::PlainSum(const std::vector<SiteIndex>& of) const {
  std::vector<std::int64_t> sum(terms->words, 0);
  for (const SiteIndex site : of) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += sites[site].values[i];
  }
  return sum;
}

std::vector<SiteIndex> SimulatedFederation::Shuffled(const Sites& who) {
  std::vector<SiteIndex> order(who.begin(), who.end());
  std::shuffle(order.begin(), order.end(), random_);
  return order;
}

bool SimulatedFederation::Refused(const base::Status& status) {
  if (!status) refusals.push_back(status.error().message);
  return !status.has_value();
}

// Over the wire; one message in three arrives twice.
template <typename Message, typename State>
void SimulatedFederation::Send(const Message& message, std::optional<State>& to) {
  const int times = random_() % 3 == 0 ? 2 : 1;
  for (int i = 0; i < times; ++i) {
    const auto taken = to->Add(OverTheWire(message));
    if (!taken) refusals.push_back(taken.error().message);
  }
}

void SimulatedFederation::Advertise(const Sites& who) {
  for (const SiteIndex i : Shuffled(who)) {
    SimulatedSite& site = sites[i];
    auto started = Advertised::Start(terms, attempt, i, site.identity, site.past);
    if (!started) {
      refusals.push_back(started.error().message);
      continue;
    }
    site.journal.push_back(started->record());
    auto step = std::move(*started).AfterPersisted();
    site.advertised = std::move(step.state);
    Send(step.message, advertising);
  }
}

void SimulatedFederation::Share(const Sites& who) {
  for (const SiteIndex i : Shuffled(who)) {
    SimulatedSite& site = sites[i];
    if (!site.advertised) continue;
    auto step = std::move(*site.advertised).Share(OverTheWire(roster));
    site.advertised.reset();
    if (!step) {
      refusals.push_back(step.error().message);
      continue;
    }
    site.shared = std::move(step->state);
    Send(step->message, sharing);
  }
}

void SimulatedFederation::Pair(const Sites& who) {
  for (const SiteIndex i : Shuffled(who)) {
    SimulatedSite& site = sites[i];
    if (!site.shared || !deliveries.contains(i)) continue;
    auto paired = std::move(*site.shared).Pair(OverTheWire(deliveries.at(i)));
    site.shared.reset();
    if (!paired) {
      refusals.push_back(paired.error().message);
      continue;
    }
    site.paired = std::move(*paired);
  }
}

void SimulatedFederation::Upload(const Sites& who, const Sites& partly) {
  Sites both = who;
  both.insert(partly.begin(), partly.end());
  std::vector<std::pair<SiteIndex, std::size_t>> next;  // the chunk that each site sends next
  for (const SiteIndex i : Shuffled(both)) {
    SimulatedSite& site = sites[i];
    if (!site.paired) continue;
    auto step = std::move(*site.paired).Mask(site.values, site.context);
    site.paired.reset();
    if (!step) {
      refusals.push_back(step.error().message);
      continue;
    }
    site.masked = std::move(step->state);
    site.upload = std::move(step->message);
    next.emplace_back(i, 0);
  }
  while (!next.empty()) {  // chunks of different sites arrive interleaved
    const std::size_t which = random_() % next.size();
    auto& [i, chunk] = next[which];
    const MaskedUpload& upload = *sites[i].upload;
    const bool cut = partly.contains(i) && chunk == 1;
    if (!cut && chunk < upload.ChunkCount(kChunkBytes)) {
      const auto held = uploading->Add(OverTheWire(upload.Chunk(chunk, kChunkBytes)));
      if (!held) refusals.push_back(held.error().message);
      ++chunk;
      continue;
    }
    if (!cut) Send(upload.seal(), uploading);
    next.erase(next.begin() + static_cast<std::ptrdiff_t>(which));
  }
}

void SimulatedFederation::Commit(const Sites& who) {
  for (const SiteIndex i : Shuffled(who)) {
    SimulatedSite& site = sites[i];
    if (!site.masked) continue;
    auto pending = std::move(*site.masked).Commit(OverTheWire(survivor_set), site.past);
    site.masked.reset();
    if (!pending) {
      refusals.push_back(pending.error().message);
      continue;
    }
    site.journal.push_back(pending->record());
    auto step = std::move(*pending).AfterPersisted();
    site.committed = std::move(step.state);
    site.vote = step.message;
    Send(step.message, committing);
  }
}

void SimulatedFederation::Reveal(const Sites& who) {
  for (const SiteIndex i : Shuffled(who)) {
    SimulatedSite& site = sites[i];
    if (!site.committed) continue;
    auto pending = std::move(*site.committed).Reveal(OverTheWire(votes), site.past);
    site.committed.reset();
    if (!pending) {
      refusals.push_back(pending.error().message);
      continue;
    }
    site.journal.push_back(pending->record());
    site.revealed = std::move(*pending).AfterPersisted().message;
    Send(*site.revealed, revealing);
  }
}

base::Status SimulatedFederation::CloseAdvertising() {
  CLOISTER_ASSIGN_OR_RETURN(auto step, std::move(*advertising).Close());
  sharing = std::move(step.state);
  roster = std::move(step.message);
  return {};
}

base::Status SimulatedFederation::CloseSharing() {
  CLOISTER_ASSIGN_OR_RETURN(auto step, std::move(*sharing).Close());
  uploading = std::move(step.state);
  deliveries = std::move(step.message);
  return {};
}

base::Status SimulatedFederation::CloseUploading() {
  CLOISTER_ASSIGN_OR_RETURN(auto step, std::move(*uploading).Close());
  committing = std::move(step.state);
  survivor_set = std::move(step.message);
  return {};
}

base::Status SimulatedFederation::CloseCommitting() {
  CLOISTER_ASSIGN_OR_RETURN(auto step, std::move(*committing).Close());
  revealing = std::move(step.state);
  votes = std::move(step.message);
  return {};
}

base::Result<SecureSum> SimulatedFederation::Finish() { return std::move(*revealing).Finish(); }

base::Result<SecureSum> SimulatedFederation::Run(const Losses& losses) {
  Advertise(Without(All(), losses, Leaves::kBeforeAdvertise));
  CLOISTER_RETURN_IF_ERROR(CloseAdvertising());
  Share(Without(All(), losses, Leaves::kBeforeShare));
  CLOISTER_RETURN_IF_ERROR(CloseSharing());
  const Sites paired = Without(All(), losses, Leaves::kBeforeUpload);
  const Sites whole = Without(All(), losses, Leaves::kDuringUpload);
  Pair(paired);
  Sites partly;
  std::set_difference(paired.begin(), paired.end(), whole.begin(), whole.end(),
                      std::inserter(partly, partly.end()));
  Upload(whole, partly);
  CLOISTER_RETURN_IF_ERROR(CloseUploading());
  Commit(Without(All(), losses, Leaves::kBeforeCommit));
  CLOISTER_RETURN_IF_ERROR(CloseCommitting());
  Reveal(Without(All(), losses, Leaves::kBeforeReveal));
  return Finish();
}

base::Status SimulatedFederation::RunUntil(Leaves point) {
  Advertise(All());
  CLOISTER_RETURN_IF_ERROR(CloseAdvertising());
  if (point == Leaves::kBeforeShare) return {};
  Share(All());
  CLOISTER_RETURN_IF_ERROR(CloseSharing());
  Pair(All());
  if (point == Leaves::kBeforeUpload) return {};
  Upload(All());
  CLOISTER_RETURN_IF_ERROR(CloseUploading());
  if (point == Leaves::kBeforeCommit) return {};
  Commit(All());
  return CloseCommitting();
}

std::size_t SimulatedFederation::RevealCount() const {
  return static_cast<std::size_t>(
      std::count_if(sites.begin(), sites.end(),
                    [](const SimulatedSite& site) { return site.revealed.has_value(); }));
}

bool LooksUniform(const std::vector<std::uint32_t>& words) {
  EXPECT_GE(words.size(), 1024U);
  std::array<double, 256> counts{};
  for (const std::uint32_t word : words) {
    for (int i = 0; i < 4; ++i) ++counts[(word >> (8 * i)) & 255U];
  }
  const double expected = static_cast<double>(4 * words.size()) / 256;
  double statistic = 0;
  for (const double count : counts) {
    statistic += (count - expected) * (count - expected) / expected;
  }
  return statistic < 255 + 8 * 22.6;
}

}  // namespace cloister::federation::protocol
