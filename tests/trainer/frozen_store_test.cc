// A meeting place whose host freezes: its connections stay open, and no answer comes.
#include <gmock/gmock.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/trainer/rank_threads.h"

namespace cloister::trainer {
namespace {

using std::chrono::milliseconds;

// Passes on what is sent to a port on the loopback interface and back, until it freezes.
class Proxy {
 public:
  explicit Proxy(std::uint16_t to) : to_(to), here_(MeetHere(1)) {
    accepting_ = std::thread([this] {
      while (!ended_) {
        pollfd waiting{.fd = *here_.socket, .events = POLLIN, .revents = 0};
        if (::poll(&waiting, 1, 20) <= 0) continue;
        const int in = ::accept4(*here_.socket, nullptr, nullptr, SOCK_CLOEXEC);
        pumps_.emplace_back([this, in] { Pump(in, Connect()); });
      }
    });
  }
  ~Proxy() {
    ended_ = true;
    accepting_.join();
    for (std::thread& pump : pumps_) pump.join();
    ::close(*here_.socket);
  }
  std::uint16_t port() const { return here_.port; }
  void Freeze(bool frozen) { frozen_ = frozen; }

 private:
  int Connect() const {
    const int out = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = ::htons(to_);
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(out, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return out;
  }
  void Pump(int a, int b) const {
    pollfd ends[2] = {{.fd = a, .events = POLLIN, .revents = 0},
                      {.fd = b, .events = POLLIN, .revents = 0}};
    for (bool open = true; open && !ended_;) {
      if (frozen_) {
        std::this_thread::sleep_for(milliseconds(5));
        continue;
      }
      if (::poll(ends, 2, 20) <= 0) continue;
      for (int i = 0; i < 2; ++i) {
        if (ends[i].revents == 0) continue;
        char bytes[4096];
        const ssize_t got = ::recv(ends[i].fd, bytes, sizeof bytes, 0);
        open = open && got > 0 &&
               ::send(ends[1 - i].fd, bytes, static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
      }
    }
    ::close(a);
    ::close(b);
  }

  std::uint16_t to_;
  Placement here_;
  std::atomic<bool> frozen_ = false, ended_ = false;
  std::vector<std::thread> pumps_;
  std::thread accepting_;
};

TEST(FrozenStore, EndsARankThatGetsNoAnswer) {
  const Placement place = MeetHere(2);
  Proxy proxy(place.port);
  Patience patience;
  patience.silence = milliseconds(2000);
  patience.beat = milliseconds(50);
  std::atomic<int> together = 0;
  std::thread first([&] {
    const auto ranks = ConnectRanks(place, patience);
    ASSERT_TRUE(ranks) << ranks.error().message;
    ASSERT_TRUE((*ranks)->Agree({}));
    ++together;
    const base::Status agreed = (*ranks)->Agree({});
    ASSERT_FALSE(agreed);
    EXPECT_THAT(agreed.error().message, testing::HasSubstr("rank 1 was lost: no sign of life"));
    EXPECT_FALSE((*ranks)->Leave(agreed));
  });
  std::mutex mutex;
  std::string why;
  std::thread second([&] {
    Patience own = patience;
    own.last_resort = [&](const std::string& told) {
      const std::lock_guard lock(mutex);
      why = told;
      std::this_thread::sleep_for(std::chrono::seconds(1));
      proxy.Freeze(false);  // here the process would end
    };
    Placement through = OfRank(place, 1);
    through.port = proxy.port();
    const auto ranks = ConnectRanks(through, own);
    ASSERT_TRUE(ranks) << ranks.error().message;
    ASSERT_TRUE((*ranks)->Agree({}));
    ++together;
    while (together < 2) std::this_thread::sleep_for(milliseconds(1));
    proxy.Freeze(true);
    EXPECT_FALSE((*ranks)->Agree({}));
  });
  first.join();
  second.join();
  EXPECT_THAT(why, testing::HasSubstr("rank 0 was lost: the meeting place"));
}

}  // namespace
}  // namespace cloister::trainer
