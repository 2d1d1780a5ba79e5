#include "security/sandbox.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

namespace cloister::security {
namespace {

bool SocketIsDenied() {
  errno = 0;
  return ::socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM;
}

// Runs in a forked child, whose exit status is 0 or the number of the first claim that failed.
int Sandboxed(int pair, bool deny) {
  std::atomic<bool> denied = false;
  std::atomic<bool> thread_denied = false;
  std::thread earlier([&] {
    while (!denied) std::this_thread::yield();
    thread_denied = SocketIsDenied();
  });
  const bool installed = !deny || DenyNetwork();
  denied = true;
  earlier.join();
  if (!installed) return 1;
  if (!SocketIsDenied()) return 2;
  if (!thread_denied) return 3;  // a thread that ran before the filter came
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0 || errno != EPERM) return 4;
  const sockaddr_in address{};
  const auto* const any = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(pair, any, sizeof address) == 0 || errno != EPERM) return 5;
  if (::bind(pair, any, sizeof address) == 0 || errno != EPERM) return 6;
  if (::listen(pair, 1) == 0 || errno != EPERM) return 7;
  if (::accept(pair, nullptr, nullptr) >= 0 || errno != EPERM) return 8;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(SocketIsDenied() ? 0 : 1);
  int status = 0;
  if (::waitpid(child, &status, 0) != child || status != 0) return 9;
  char byte = 0;
  if (::read(pair, &byte, 1) != 1 || byte != 'x') return 10;
  return ::write(pair, "y", 1) == 1 ? 0 : 11;
}

int RunChild(bool deny) {
  int pair[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pair[0]);
    ::_exit(Sandboxed(pair[1], deny));
  }
  ::close(pair[1]);
  EXPECT_EQ(::write(pair[0], "x", 1), 1);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  char byte = 0;
  if (status == 0) {
    EXPECT_EQ(::read(pair[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
  }
  ::close(pair[0]);
  EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  return WEXITSTATUS(status);
}

TEST(DenyNetwork, TakesSocketsFromEveryThreadAndChildButLeavesOpenOnes) {
  EXPECT_EQ(RunChild(true), 0);
}

TEST(DenyNetwork, IsWhatTheTestAboveSees) {
  EXPECT_EQ(RunChild(false), 2);  // without the filter a socket can be had
}

}  // namespace
}  // namespace cloister::security
