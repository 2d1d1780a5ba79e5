#include "trainer/distributed/placement.h"

#include <charconv>
#include <limits>
#include <string_view>
#include <utility>

namespace cloister::trainer {
namespace {

constexpr std::int64_t kMostRanks = 1024;
constexpr std::int64_t kFirstPort = 12000;  // those below the ranges that systems lend out
constexpr std::int64_t kPorts = 20000;

std::optional<std::int64_t> Number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  bool Has(const char* name) const { return environment_(name) != nullptr; }
  std::string Text(const char* name) const {
    const char* const text = environment_(name);
    return text == nullptr ? "" : text;
  }
  // A whole number of [least, most].
  base::Result<std::int64_t> Get(const char* name, std::int64_t least, std::int64_t most) const {
    const std::string text = Text(name);
    const std::optional<std::int64_t> value = Number(text);
    if (value && *value >= least && *value <= most) return *value;
    return base::Fail(base::Code::kInvalidArgument,
                      "environment variable " + std::string(name) +
                          (Has(name) ? " is '" + text + "'" : " is missing") +
                          ": several processes need a whole number of " + std::to_string(least) +
                          " to " + std::to_string(most) + " there");
  }

 private:
  const Environment& environment_;
};

base::Status ReadRank(const Reader& reader, const char* rank, const char* size, Placement& place) {
  CLOISTER_ASSIGN_OR_RETURN(place.size, reader.Get(size, 1, kMostRanks));
  CLOISTER_ASSIGN_OR_RETURN(place.rank, reader.Get(rank, 0, place.size - 1));
  return {};
}

base::Result<Placement> FromTorchrun(const Reader& reader) {
  Placement place;
  CLOISTER_RETURN_IF_ERROR(ReadRank(reader, "RANK", "WORLD_SIZE", place));
  if (place.size == 1) return place;
  if (reader.Has("LOCAL_WORLD_SIZE")) {
    CLOISTER_ASSIGN_OR_RETURN(place.local_size, reader.Get("LOCAL_WORLD_SIZE", 1, place.size));
  }
  if (reader.Has("LOCAL_RANK")) {
    CLOISTER_ASSIGN_OR_RETURN(place.local_rank, reader.Get("LOCAL_RANK", 0, place.size - 1));
  }
  place.host = reader.Text("MASTER_ADDR");
  if (place.host.empty()) {
    return base::Fail(base::Code::kInvalidArgument,
                      "environment variable MASTER_ADDR is missing: give the first rank's host");
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t port, reader.Get("MASTER_PORT", 1, 65535));
  place.port = static_cast<std::uint16_t>(port);
  place.agent_store = reader.Text("TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (reader.Has("TORCHELASTIC_RESTART_COUNT")) {
    place.attempt = reader.Text("TORCHELASTIC_RESTART_COUNT");
  }
  if (reader.Has(kStoreSocketVariable)) {
    place.loopback_only = true;
    CLOISTER_ASSIGN_OR_RETURN(const std::int64_t socket,
                              reader.Get(kStoreSocketVariable, 3, std::numeric_limits<int>::max()));
    if (place.rank == 0) place.socket = static_cast<int>(socket);
  }
  return place;
}

base::Result<Placement> FromSlurm(const Reader& reader) {
  Placement place;
  CLOISTER_RETURN_IF_ERROR(ReadRank(reader, "SLURM_PROCID", "SLURM_NTASKS", place));
  if (place.size == 1) return place;
  if (reader.Has("SLURM_LOCALID")) {
    CLOISTER_ASSIGN_OR_RETURN(place.local_rank, reader.Get("SLURM_LOCALID", 0, place.size - 1));
  }
  place.host = reader.Text("MASTER_ADDR");
  if (place.host.empty()) place.host = FirstHost(reader.Text("SLURM_JOB_NODELIST"));
  if (place.host.empty()) {
    return base::Fail(base::Code::kInvalidArgument,
                      "neither MASTER_ADDR nor SLURM_JOB_NODELIST names a host: set MASTER_ADDR to "
                      "that of task 0");
  }
  if (reader.Has("MASTER_PORT")) {
    CLOISTER_ASSIGN_OR_RETURN(const std::int64_t port, reader.Get("MASTER_PORT", 1, 65535));
    place.port = static_cast<std::uint16_t>(port);
    return place;
  }
  CLOISTER_ASSIGN_OR_RETURN(
      const std::int64_t job,
      reader.Get("SLURM_JOB_ID", 0, std::numeric_limits<std::int64_t>::max()));
  place.port = static_cast<std::uint16_t>(kFirstPort + job % kPorts);
  return place;
}

}  // namespace

std::string FirstHost(const std::string& list) {
  // Up to the first comma that stands in no bracket.
  std::size_t end = 0;
  bool within = false;
  for (; end < list.size() && (within || list[end] != ','); ++end) {
    if (list[end] == '[') within = true;
    if (list[end] == ']') within = false;
  }
  std::string host = list.substr(0, end);
  // In each bracket, the first number alone.
  for (std::size_t open = host.find('['); open != std::string::npos; open = host.find('[')) {
    const std::size_t close = host.find(']', open);
    if (close == std::string::npos) return "";
    const std::size_t number = host.find_first_of(",-]", open);
    host = host.substr(0, open) + host.substr(open + 1, number - open - 1) + host.substr(close + 1);
  }
  return host;
}

base::Result<Placement> PlacementFrom(const Environment& environment) {
  const Reader reader(environment);
  if (reader.Has("RANK") || reader.Has("WORLD_SIZE")) return FromTorchrun(reader);
  if (reader.Has("SLURM_PROCID") && reader.Has("SLURM_NTASKS")) return FromSlurm(reader);
  return Placement();
}

}  // namespace cloister::trainer
