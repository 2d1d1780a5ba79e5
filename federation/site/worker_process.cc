#include "federation/site/worker_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "base/frame_channel.h"

namespace cloister::federation::site {
namespace {

constexpr int kWorkerFd = 3;

class FrameWorker : public WorkerChannel {
 public:
  // A second descriptor of the same socket, to interrupt calls that wait on the first.
  explicit FrameWorker(int fd) : interrupt_fd_(::fcntl(fd, F_DUPFD_CLOEXEC, 0)), channel_(fd) {}
  ~FrameWorker() override {
    if (interrupt_fd_ >= 0) ::close(interrupt_fd_);
  }

  base::Result<worker::Opened> Open(const worker::Open& open) override {
    CLOISTER_ASSIGN_OR_RETURN(const base::Frame answer, Ask(worker::ToJson(open), {}));
    return worker::OpenedFromJson(answer.header);
  }

  base::Result<worker::Evaluated> Evaluate(std::span<const float> parameters) override {
    CLOISTER_ASSIGN_OR_RETURN(const base::Frame answer,
                              Ask(worker::EvaluateRequest(), std::as_bytes(parameters)));
    return worker::EvaluatedFromJson(answer.header);
  }

  base::Result<NoisedUpdate> Train(const worker::Train& train,
                                   std::span<const float> parameters) override {
    CLOISTER_ASSIGN_OR_RETURN(const base::Frame answer,
                              Ask(worker::ToJson(train), std::as_bytes(parameters)));
    NoisedUpdate update;
    CLOISTER_ASSIGN_OR_RETURN(update.privacy, worker::UpdateFromJson(answer.header));
    if (answer.payload.size() != parameters.size() * sizeof(std::int64_t)) {
      return base::Fail(base::Code::kDataLoss, "the worker's update has a wrong size");
    }
    update.values.resize(parameters.size());
    if (!update.values.empty()) {
      std::memcpy(update.values.data(), answer.payload.data(), answer.payload.size());
    }
    return update;
  }

  void Interrupt() override { ::shutdown(interrupt_fd_, SHUT_RDWR); }

 private:
  base::Result<base::Frame> Ask(const nlohmann::json& request, std::span<const std::byte> payload) {
    if (auto status = channel_.Send(request, payload); !status) return Gone(status.error());
    auto answer = channel_.Receive();
    if (!answer) return Gone(answer.error());
    if (worker::MessageType(answer->header) == "error") {
      return tl::unexpected<base::Error>(worker::ErrorFromJson(answer->header));
    }
    return answer;
  }

  static tl::unexpected<base::Error> Gone(const base::Error& error) {
    if (error.code != base::Code::kUnavailable) return tl::unexpected<base::Error>(error);
    return base::Fail(base::Code::kAborted,
                      "the site's worker ended before it answered: see its messages above");
  }

  int interrupt_fd_;
  base::FrameChannel channel_;
};

class WorkerProcess final : public WorkerChannel {
 public:
  WorkerProcess(int fd, pid_t pid) : channel_(std::make_unique<FrameWorker>(fd)), pid_(pid) {}
  ~WorkerProcess() override {
    channel_->Interrupt();
    channel_.reset();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() >= deadline) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  base::Result<worker::Opened> Open(const worker::Open& open) override {
    return channel_->Open(open);
  }
  base::Result<worker::Evaluated> Evaluate(std::span<const float> parameters) override {
    return channel_->Evaluate(parameters);
  }
  base::Result<NoisedUpdate> Train(const worker::Train& train,
                                   std::span<const float> parameters) override {
    return channel_->Train(train, parameters);
  }
  void Interrupt() override { channel_->Interrupt(); }

 private:
  std::unique_ptr<FrameWorker> channel_;
  pid_t pid_;
};

// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void BecomeWorker(int fd, pid_t parent, char* const* arguments) {
  const int null = ::open("/dev/null", O_RDWR);
  if (null < 0 || ::dup2(null, STDIN_FILENO) < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
    ::_exit(127);
  }
  // dup2 clears close-on-exec, but does nothing where the descriptor already has the number.
  if (fd == kWorkerFd ? ::fcntl(fd, F_SETFD, 0) != 0 : ::dup2(fd, kWorkerFd) < 0) ::_exit(127);
  if (::close_range(kWorkerFd + 1, ~0U, 0) != 0) ::_exit(127);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);
  ::execv(arguments[0], arguments);
  ::_exit(127);
}

}  // namespace

std::unique_ptr<WorkerChannel> WorkerOver(int fd) { return std::make_unique<FrameWorker>(fd); }

base::Result<std::unique_ptr<WorkerChannel>> StartWorker(const std::filesystem::path& program) {
  if (::access(program.c_str(), X_OK) != 0) {
    return base::Fail(base::Code::kNotFound, "cannot start the worker " + program.string() + " (" +
                                                 std::strerror(errno) +
                                                 "): install cloister-train beside cloister");
  }
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return base::Fail(base::Code::kInternal,
                      std::string("no socket pair for the worker (") + std::strerror(errno) + ")");
  }
  std::string path = program.string();
  std::string command = "worker";
  std::string flag = "--fd";
  std::string number = std::to_string(kWorkerFd);
  const std::array<char*, 5> arguments = {path.data(), command.data(), flag.data(), number.data(),
                                          nullptr};
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) BecomeWorker(pair[1], parent, arguments.data());
  ::close(pair[1]);
  if (pid < 0) {
    ::close(pair[0]);
    return base::Fail(base::Code::kInternal,
                      std::string("cannot start the worker (") + std::strerror(errno) + ")");
  }
  return std::unique_ptr<WorkerChannel>(std::make_unique<WorkerProcess>(pair[0], pid));
}

}  // namespace cloister::federation::site
