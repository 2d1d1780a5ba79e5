#include "trainer/distributed/meeting_place.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>

#include "base/log.h"

namespace cloister::trainer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A count of those who have come holds three sums: of ones, of those whose work failed, and of
// their calls' marks, which are equal where the calls are.
constexpr std::int64_t kFailed = std::int64_t{1} << 16;
constexpr std::int64_t kMark = std::int64_t{1} << 32;
constexpr std::int64_t kMarks = std::int64_t{1} << 19;
constexpr const char* kOutOfStep = "out of step";
constexpr milliseconds kLongestNap{20};

std::string ToText(const base::Error& error, std::int64_t rank, bool lost) {
  return nlohmann::json({{"rank", rank},
                         {"code", static_cast<int>(error.code)},
                         {"message", error.message},
                         {"lost", lost}})
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

struct Told {
  base::Error error;
  std::int64_t rank = 0;
  bool lost = false;  // said about the rank, not by it
};

Told FromText(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return {{base::Code::kUnknown, "ended without a reason"}, 0, false};
  return {{static_cast<base::Code>(json.value("code", 2)), json.value("message", "")},
          json.value("rank", std::int64_t{0}),
          json.value("lost", false)};
}

// What another rank says of itself, on this one.
base::Error OfRank(const Told& told, std::int64_t self) {
  if (told.lost || told.rank == self) return told.error;
  return {told.error.code, "rank " + std::to_string(told.rank) + ": " + told.error.message};
}

// Before all keys of a run.
std::string KeysOf(const Placement& place) { return "cloister/" + place.attempt; }

std::int64_t MarkOf(const std::string& call) {
  return static_cast<std::int64_t>(std::hash<std::string>()(call) % std::size_t{kMarks});
}

std::string InSeconds(milliseconds time) {
  return std::to_string((time.count() + 999) / 1000) + " s";
}

std::string FirstLine(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

void EndProcess(const std::string& why) {
  base::LogError(why);
  // The calls that wait for an answer never return, so that no thread of theirs could be ended.
  ::_exit(1);
}

}  // namespace

// One for the rank's own calls, one for its thread: a call may wait, and holds its connection.
struct MeetingPlace::Connections {
  c10::intrusive_ptr<c10d::Store> calls, life;

  static Connections To(const Placement& place, const Patience& patience) {
    c10d::TCPStoreOptions options;
    options.port = place.port;
    options.isServer = place.rank == 0 && !place.agent_store;
    options.waitWorkers = false;
    options.timeout = patience.arrival;
    options.masterListenFd = place.socket;
    Connections made;
    const std::string name = KeysOf(place);
    made.calls = c10::make_intrusive<c10d::PrefixStore>(
        name, c10::make_intrusive<c10d::TCPStore>(place.host, options));
    options.isServer = false;
    options.masterListenFd = std::nullopt;
    made.life = c10::make_intrusive<c10d::PrefixStore>(
        name, c10::make_intrusive<c10d::TCPStore>(place.host, options));
    return made;
  }
};

void TellLost(const Placement& place, std::int64_t rank, const base::Error& why) {
  try {
    c10d::TCPStoreOptions options;
    options.port = place.port;
    options.waitWorkers = false;
    options.timeout = seconds(2);
    const c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::PrefixStore>(
        KeysOf(place), c10::make_intrusive<c10d::TCPStore>(place.host, options));
    store->compareSet("end", "", ToText(why, rank, /*lost=*/true));
  } catch (const std::exception&) {
    // With the store the others have lost the first rank, and know it.
  }
}

base::Result<std::unique_ptr<MeetingPlace>> MeetingPlace::Open(const Placement& place,
                                                               const Patience& patience) {
  std::unique_ptr<Connections> connections;
  try {
    connections = std::make_unique<Connections>(Connections::To(place, patience));
  } catch (const std::exception& error) {
    return base::Fail(base::Code::kUnavailable,
                      "no meeting of the ranks at " + place.host + ":" +
                          std::to_string(place.port) + " (" + FirstLine(error) +
                          "): check that rank 0 runs, that this host and port are its own, and "
                          "that no other program listens there");
  }
  std::unique_ptr<MeetingPlace> meeting(new MeetingPlace(place, patience, std::move(connections)));
  CLOISTER_RETURN_IF_ERROR(meeting->Arrive());
  return meeting;
}

MeetingPlace::MeetingPlace(const Placement& place, const Patience& patience,
                           std::unique_ptr<Connections> connections)
    : place_(place),
      patience_(patience),
      connections_(std::move(connections)),
      signs_(static_cast<std::size_t>(place.size)),
      answered_(Clock::now()) {
  if (!patience_.last_resort) patience_.last_resort = EndProcess;
}

MeetingPlace::~MeetingPlace() {
  const auto end = [this](std::thread& thread, bool& flag) {
    {
      const std::lock_guard lock(mutex_);
      flag = true;
    }
    changed_.notify_all();
    if (thread.joinable()) thread.join();
  };
  end(life_, ended_);
  end(guard_, unguarded_);
}

c10::intrusive_ptr<c10d::Store> MeetingPlace::store() const { return connections_->calls; }

base::Status MeetingPlace::Arrive() {
  const std::string rank = std::to_string(place_.rank);
  try {
    auto& store = *connections_->calls;
    if (store.add("came/" + rank, 1) != 1) {
      return base::Fail(base::Code::kAlreadyExists, "two processes are rank " + rank + " at " +
                                                        place_.host + ":" +
                                                        std::to_string(place_.port) +
                                                        ": give each its own RANK, and each run "
                                                        "its own MASTER_PORT");
    }
    store.add("beat/" + rank, 1);
    if (store.add("all", 1) == place_.size) store.set("ready", std::string("1"));
    const base::Status came = Await("ready", Clock::now() + patience_.arrival);
    if (!came && came.error().code == base::Code::kDeadlineExceeded) {
      std::string missing;
      for (std::int64_t other = 0; other < place_.size; ++other) {
        if (store.check({"came/" + std::to_string(other)})) continue;
        missing += (missing.empty() ? "" : ", ") + std::to_string(other);
      }
      return base::Fail(base::Code::kUnavailable,
                        "of " + std::to_string(place_.size) + " ranks these did not come within " +
                            InSeconds(patience_.arrival) + ": " + missing +
                            ": start them all, or give --nproc 1 for a run of one process");
    }
    CLOISTER_RETURN_IF_ERROR(came);
    for (Sign& sign : signs_) sign.heard = Clock::now();
    answered_ = Clock::now();
    life_ = std::thread([this] { Live(); });
    guard_ = std::thread([this] { Guard(); });
    return {};
  } catch (const std::exception& error) {
    return OutOfReach(FirstLine(error));
  }
}

base::Status MeetingPlace::Meet(const std::string& call, base::Status own) {
  CLOISTER_RETURN_IF_ERROR(failure());
  const std::string meeting = "meeting/" + std::to_string(++meetings_);
  try {
    auto& store = *connections_->calls;
    if (!own) {
      store.set(meeting + "/why/" + std::to_string(place_.rank),
                ToText(own.error(), place_.rank, false));
    }
    const std::int64_t mark = MarkOf(call);
    const std::int64_t come = store.add(meeting + "/come", 1 + (own ? 0 : kFailed) + mark * kMark);
    if (come % kFailed == place_.size) {
      store.set(meeting + "/done", come / kMark == mark * place_.size
                                       ? std::to_string(come % kMark / kFailed)
                                       : std::string(kOutOfStep));
      // Nobody needs the one before any more: all have left it to come here.
      const std::string before = "meeting/" + std::to_string(meetings_ - 1);
      for (const char* const key : {"/come", "/done"}) store.deleteKey(before + key);
    } else {
      CLOISTER_RETURN_IF_ERROR(Await(meeting + "/done", std::nullopt));
    }
    const std::string done = store.get_to_str(meeting + "/done");
    if (done == kOutOfStep) {
      return base::Fail(base::Code::kInternal, "the ranks are out of step at '" + call +
                                                   "': run the same program everywhere");
    }
    return done == "0" ? base::Status() : Verdict(std::move(own));
  } catch (const std::exception& error) {
    return OutOfReach(FirstLine(error));
  }
}

base::Status MeetingPlace::Verdict(base::Status own) {
  auto& store = *connections_->calls;
  for (std::int64_t rank = 0; rank < place_.size; ++rank) {
    const std::string key = "meeting/" + std::to_string(meetings_) + "/why/" + std::to_string(rank);
    if (!store.check({key})) continue;
    const base::Error error = OfRank(FromText(store.get_to_str(key)), place_.rank);
    agreed_ = true;
    return base::Fail(error.code, error.message);
  }
  return own;
}

base::Status MeetingPlace::Await(const std::string& key,
                                 std::optional<Clock::time_point> deadline) {
  auto& store = *connections_->calls;
  const Clock::time_point start = Clock::now();
  while (!store.check({key})) {
    CLOISTER_RETURN_IF_ERROR(failure());
    const Clock::time_point now = Clock::now();
    if (deadline && now > *deadline) {
      return base::Fail(base::Code::kDeadlineExceeded, "waited long enough");
    }
    // Long enough not to be a load, and short against what was waited for.
    std::this_thread::sleep_for(
        std::min<Clock::duration>(kLongestNap, std::chrono::microseconds(50) + (now - start) / 8));
  }
  return {};
}

base::Status MeetingPlace::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_ ? base::Status(base::Fail(failure_->code, failure_->message)) : base::Status();
}

void MeetingPlace::Note(base::Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(error);
    failed_ = true;
  }
  changed_.notify_all();
}

base::Status MeetingPlace::OutOfReach(const std::string& how) {
  NoteOutOfReach(how);
  return failure();
}

void MeetingPlace::NoteOutOfReach(const std::string& how) {
  Note({base::Code::kUnavailable, std::string(place_.agent_store ? "torchrun's agent" : "rank 0") +
                                      " was lost: the meeting place at " + place_.host + ":" +
                                      std::to_string(place_.port) + " does not answer (" + how +
                                      "): look what ended it, and start all ranks again"});
}

base::Status MeetingPlace::Broken(const std::string& how) {
  suspect_ = true;
  changed_.notify_all();
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience_.silence, [this] { return failure_.has_value(); });
  }
  Note({base::Code::kUnavailable, "a transfer between the ranks broke off though all seem alive (" +
                                      how + "): check the network between their hosts"});
  return failure();
}

void MeetingPlace::RequestStop() {
  if (asked_.exchange(true)) return;
  stop_ = true;
  changed_.notify_all();
}

bool MeetingPlace::Rest(milliseconds time, const bool& ended) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [&ended] { return ended; });
  return !ended;
}

void MeetingPlace::Guard() {
  // Two beats more than the silence after which an answering store says who is lost.
  const milliseconds most = patience_.silence + 2 * patience_.beat;
  while (Rest(patience_.beat, unguarded_)) {
    if (Clock::now() - answered_.load() <= most) continue;
    patience_.last_resort(OutOfReach("for " + InSeconds(most)).error().message);
    return;
  }
}

void MeetingPlace::Live() {
  try {
    for (std::int64_t beat = 2; Rest(patience_.beat, ended_); ++beat) {
      Listen(beat);
      answered_ = Clock::now();
    }
  } catch (const std::exception& error) {
    NoteOutOfReach(FirstLine(error));
    while (Rest(patience_.beat, ended_))
      answered_ = Clock::now();  // known: no need of the last resort
  }
}

void MeetingPlace::Listen(std::int64_t beat) {
  auto& store = *connections_->life;
  store.add("beat/" + std::to_string(place_.rank), 1);
  if (asked_) store.set("stop", std::string("1"));
  if (suspect_) store.set("suspect", std::string("1"));
  if (!stop_ && store.check({"stop"})) stop_ = true;
  if (!failed_ && store.check({"end"})) {
    const Told told = FromText(store.get_to_str("end"));
    if (told.rank != place_.rank || told.lost) Note(OfRank(told, place_.rank));
  }
  if (!failed_ && beat > 2) Judge();
}

void MeetingPlace::Judge() {
  auto& store = *connections_->life;
  const bool suspect = suspect_ || store.check({"suspect"});
  // A transfer that broke off has a reason, which is soon seen.
  const milliseconds most =
      suspect ? std::min(patience_.silence, 5 * patience_.beat) : patience_.silence;
  // The first rank looks at all, the others at it.
  const std::int64_t end = place_.rank == 0 ? place_.size : 1;
  for (std::int64_t rank = 0; rank < end; ++rank) {
    if (rank == place_.rank) continue;
    Sign& sign = signs_[static_cast<std::size_t>(rank)];
    const std::int64_t beat = store.add("beat/" + std::to_string(rank), 0);
    const Clock::time_point now = Clock::now();
    if (beat != sign.beat) sign = {beat, now};
    if (now - sign.heard <= most) continue;
    const base::Error error{base::Code::kUnavailable,
                            "rank " + std::to_string(rank) + " was lost: no sign of life for " +
                                InSeconds(most) +
                                ": look what ended it, and start all ranks again"};
    store.compareSet("end", "", ToText(error, rank, /*lost=*/true));
    return Note(error);
  }
}

base::Status MeetingPlace::Leave(base::Status own) {
  try {
    auto& store = *connections_->calls;
    if (!own && !agreed_ && failure()) {
      store.compareSet("end", "", ToText(own.error(), place_.rank, /*lost=*/false));
    }
    store.add("left", 1);
    if (place_.rank != 0 || place_.agent_store) return own;
    // The others read here why the run ends; who is lost does not come.
    const std::int64_t expected = place_.size - (failure() ? 0 : 1);
    const auto deadline = Clock::now() + patience_.silence;
    while (store.add("left", 0) < expected && Clock::now() < deadline) {
      std::this_thread::sleep_for(kLongestNap);
    }
  } catch (const std::exception& error) {
    if (own) return OutOfReach(FirstLine(error));
  }
  return own;
}

}  // namespace cloister::trainer
