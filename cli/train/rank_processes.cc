#include "cli/train/rank_processes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "trainer/distributed/meeting_place.h"
#include "trainer/distributed/placement.h"

namespace cloister::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kReportVariable = "CLOISTER_REPORT_PIPE";
// Ranks that hang are killed so long after another has ended.
constexpr std::chrono::seconds kGrace{25};

tl::unexpected<base::Error> CannotStart(const char* what) {
  return base::Fail(base::Code::kInternal, "cannot start several processes, " + std::string(what) +
                                               " (" + std::strerror(errno) +
                                               "): free some processes or descriptors");
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() { Close(); }
  int number() const { return number_; }
  void Close() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }

 private:
  int number_;
};

// A socket that listens on the loopback interface, and its port.
base::Result<std::pair<Descriptor, std::uint16_t>> Listen() {
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (socket.number() < 0 || ::bind(socket.number(), any, size) != 0 ||
      ::listen(socket.number(), SOMAXCONN) != 0 ||
      ::getsockname(socket.number(), any, &size) != 0) {
    return CannotStart("no socket to meet at");
  }
  return std::pair(std::move(socket), ::ntohs(address.sin_port));
}

struct Child {
  pid_t process = 0;
  bool ended = false;
  int status = 0;
  std::optional<base::Error> told;  // by itself
  bool failed() const { return ended && status != 0; }
};

// The signals that are waited for, blocked while it lives.
class WaitedSignals {
 public:
  WaitedSignals() {
    ::sigemptyset(&waited_);
    ::sigaddset(&waited_, SIGCHLD);
    for (const int signal : {SIGINT, SIGTERM}) {
      struct sigaction action {};
      if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
      ::sigaddset(&waited_, signal);
    }
    ::pthread_sigmask(SIG_BLOCK, &waited_, &before_);
  }
  ~WaitedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  WaitedSignals(const WaitedSignals&) = delete;
  WaitedSignals& operator=(const WaitedSignals&) = delete;

  // One of them, or 0 after a while.
  int Wait() const {
    const timespec while_{.tv_sec = 0, .tv_nsec = 200'000'000};
    return std::max(0, ::sigtimedwait(&waited_, nullptr, &while_));
  }
  const sigset_t& before() const { return before_; }

 private:
  sigset_t waited_{}, before_{};
};

class RankProcesses {
 public:
  RankProcesses(std::int64_t count, const std::vector<std::string>& arguments)
      : arguments_(arguments), children_(static_cast<std::size_t>(count)) {}
  ~RankProcesses() {
    Send(SIGKILL);
    for (const Child& child : children_) {
      if (child.process > 0 && !child.ended) ::waitpid(child.process, nullptr, 0);
    }
  }
  RankProcesses(const RankProcesses&) = delete;
  RankProcesses& operator=(const RankProcesses&) = delete;

  base::Status Run() {
    CLOISTER_ASSIGN_OR_RETURN(auto meeting, Listen());
    place_.port = meeting.second;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return CannotStart("no pipe");
    Descriptor reports(ends[0]), telling(ends[1]);
    ::fcntl(reports.number(), F_SETFL, O_NONBLOCK);
    for (std::size_t rank = 0; rank < children_.size(); ++rank) {
      CLOISTER_RETURN_IF_ERROR(Start(rank, meeting.first.number(), telling.number()));
    }
    meeting.first.Close();
    telling.Close();
    while (!AllEnded()) {
      Handle(signals_.Wait());
      Read(reports.number());
      Reap();
    }
    Read(reports.number());
    return Outcome();
  }

 private:
  // Everything is made before the fork: after it, until exec, little may be called.
  base::Status Start(std::size_t rank, int socket, int telling) {
    std::vector<std::string> words = {"cloister-train", "train"};
    words.insert(words.end(), arguments_.begin(), arguments_.end());
    std::vector<char*> argv = Pointers(words);
    std::vector<std::string> variables = Variables(rank, socket, telling);
    std::vector<char*> environment = Pointers(variables);
    const pid_t parent = ::getpid();
    const pid_t process = ::fork();
    if (process < 0) return CannotStart("no fork");
    if (process > 0) {
      children_[rank].process = process;
      return {};
    }
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    ::pthread_sigmask(SIG_SETMASK, &signals_.before(), nullptr);
    ::fcntl(telling, F_SETFD, 0);
    if (rank == 0) ::fcntl(socket, F_SETFD, 0);
    if (rank > 0) ::dup2(STDERR_FILENO, STDOUT_FILENO);
    ::execve("/proc/self/exe", argv.data(), environment.data());
    ::_exit(1);
  }

  static std::vector<char*> Pointers(std::vector<std::string>& words) {
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    return pointers;
  }

  std::vector<std::string> Variables(std::size_t rank, int socket, int telling) const {
    const std::string size = std::to_string(children_.size());
    std::vector<std::string> variables = {
        "RANK=" + std::to_string(rank),
        "LOCAL_RANK=" + std::to_string(rank),
        "WORLD_SIZE=" + size,
        "LOCAL_WORLD_SIZE=" + size,
        "MASTER_ADDR=" + place_.host,
        "MASTER_PORT=" + std::to_string(place_.port),
        std::string(trainer::kStoreSocketVariable) + "=" + std::to_string(socket),
        std::string(kReportVariable) + "=" + std::to_string(telling)};
    const std::size_t own = variables.size();
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string other = *variable;
      const std::string name = other.substr(0, other.find('=') + 1);
      bool known = false;
      for (std::size_t i = 0; i < own; ++i) known = known || variables[i].starts_with(name);
      if (!known) variables.push_back(other);
    }
    return variables;
  }

  bool AllEnded() const {
    for (const Child& child : children_) {
      if (!child.ended) return false;
    }
    return true;
  }

  void Send(int signal) const {
    for (const Child& child : children_) {
      if (child.process > 0 && !child.ended) ::kill(child.process, signal);
    }
  }

  void Handle(int signal) {
    if (signal == SIGINT || signal == SIGTERM) Send(asked_++ == 0 ? SIGTERM : SIGKILL);
    if (failed_at_ && Clock::now() - *failed_at_ > kGrace) Send(SIGKILL);
  }

  void Reap() {
    for (std::size_t rank = 0; rank < children_.size(); ++rank) {
      Child& child = children_[rank];
      if (child.ended || ::waitpid(child.process, &child.status, WNOHANG) <= 0) continue;
      child.ended = true;
      if (!child.failed() || failed_at_) continue;
      failed_at_ = Clock::now();
      if (!WIFSIGNALED(child.status)) continue;  // it has told the others itself
      killed_ = base::Error{base::Code::kUnavailable, Killed(rank, WTERMSIG(child.status))};
      if (rank > 0) trainer::TellLost(place_, static_cast<std::int64_t>(rank), *killed_);
    }
  }

  static std::string Killed(std::size_t rank, int signal) {
    return "rank " + std::to_string(rank) + " was lost: killed by signal " +
           std::to_string(signal) + " (" + ::strsignal(signal) +
           "): look whether memory ran out, and start again";
  }

  // What children tell of their ends, a line each.
  void Read(int pipe) {
    char bytes[4096];
    for (ssize_t got; (got = ::read(pipe, bytes, sizeof bytes)) > 0;) {
      unread_.append(bytes, static_cast<std::size_t>(got));
    }
    for (std::size_t end; (end = unread_.find('\n')) != std::string::npos;) {
      const auto told = nlohmann::json::parse(unread_.substr(0, end), nullptr, false);
      unread_.erase(0, end + 1);
      const std::size_t rank = told.is_object() ? told.value("rank", children_.size()) : SIZE_MAX;
      if (rank >= children_.size()) continue;
      children_[rank].told =
          base::Error{static_cast<base::Code>(told.value("code", 2)), told.value("message", "")};
    }
  }

  base::Status Outcome() const {
    if (killed_ && asked_ < 2) return tl::unexpected(*killed_);
    for (const Child& child : children_) {
      if (child.failed() && child.told) return tl::unexpected(*child.told);
    }
    for (std::size_t rank = 0; rank < children_.size(); ++rank) {
      const int status = children_[rank].status;
      if (WIFSIGNALED(status)) {
        return base::Fail(base::Code::kUnavailable, Killed(rank, WTERMSIG(status)));
      }
      if (status != 0) {
        return base::Fail(base::Code::kUnknown,
                          "rank " + std::to_string(rank) + " ended with code " +
                              std::to_string(WEXITSTATUS(status)) + ": see its messages above");
      }
    }
    return {};
  }

  const std::vector<std::string>& arguments_;
  WaitedSignals signals_;
  trainer::Placement place_;
  std::vector<Child> children_;
  std::string unread_;
  int asked_ = 0;  // signals to end
  std::optional<Clock::time_point> failed_at_;
  std::optional<base::Error> killed_;  // the first
};

}  // namespace

base::Status RunRankProcesses(std::int64_t count, const std::vector<std::string>& arguments) {
  return RankProcesses(count, arguments).Run();
}

void TellStarter(const base::Status& ended) {
  const char* const pipe = std::getenv(kReportVariable);
  const char* const rank = std::getenv("RANK");
  if (ended || pipe == nullptr || rank == nullptr) return;
  nlohmann::json told = {{"rank", std::atoll(rank)},
                         {"code", static_cast<int>(ended.error().code)},
                         {"message", ended.error().message.substr(0, 2000)}};
  const std::string line =
      told.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
  if (::write(std::atoi(pipe), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return;  // whoever started it is gone
  }
  // The person is told once.
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) ::dup2(nowhere, STDERR_FILENO);
}

}  // namespace cloister::cli
