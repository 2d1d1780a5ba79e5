#include "base/frame_channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>

namespace cloister::base {
namespace {

struct Ends {
  int ours = -1;
  int theirs = -1;
};

Ends Pair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  return {fds[0], fds[1]};
}

std::string Prefix(std::uint32_t header, std::uint64_t payload) {
  std::string bytes(12, '\0');
  std::memcpy(bytes.data(), &header, 4);
  std::memcpy(bytes.data() + 4, &payload, 8);
  return bytes;
}

// What Receive says of these bytes, after which the peer closes.
Result<Frame> ReceiveBytes(const std::string& bytes) {
  const Ends ends = Pair();
  FrameChannel channel(ends.ours);
  EXPECT_EQ(::write(ends.theirs, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  ::close(ends.theirs);
  return channel.Receive();
}

TEST(FrameChannel, CarriesHeaderAndPayload) {
  const Ends ends = Pair();
  FrameChannel ours(ends.ours);
  FrameChannel theirs(ends.theirs);
  std::vector<std::byte> payload(3 << 20);
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::byte>(i * 7);
  std::thread sender([&] {
    EXPECT_TRUE(ours.Send({{"kind", "update"}}, payload));
    EXPECT_TRUE(ours.Send({{"kind", "end"}}));
  });
  const auto first = theirs.Receive();
  const auto second = theirs.Receive();
  sender.join();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->header["kind"], "update");
  EXPECT_EQ(first->payload, payload);
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->payload.empty());
}

TEST(FrameChannel, SaysThatThePeerHasClosed) {
  EXPECT_EQ(ReceiveBytes("").error().code, Code::kUnavailable);
  const Ends ends = Pair();
  FrameChannel channel(ends.ours);
  ::close(ends.theirs);
  const Status sent = channel.Send({{"kind", "x"}});
  ASSERT_FALSE(sent);  // and no SIGPIPE
  EXPECT_EQ(sent.error().code, Code::kUnavailable);
}

TEST(FrameChannel, SeesAFrameThatIsCutOffAnywhere) {
  const std::string whole = Prefix(2, 3) + "{}" + "abc";
  ASSERT_TRUE(ReceiveBytes(whole));
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const auto frame = ReceiveBytes(whole.substr(0, size));
    ASSERT_FALSE(frame) << size;
    EXPECT_EQ(frame.error().code, Code::kUnavailable) << size;
  }
}

TEST(FrameChannel, RefusesLengthsOverTheLimits) {
  EXPECT_EQ(ReceiveBytes(Prefix(FrameChannel::kMaxHeader + 1, 0)).error().code, Code::kDataLoss);
  EXPECT_EQ(ReceiveBytes(Prefix(2, FrameChannel::kMaxPayload + 1) + "{}").error().code,
            Code::kDataLoss);
  EXPECT_EQ(ReceiveBytes(Prefix(0xffffffff, ~std::uint64_t{0})).error().code, Code::kDataLoss);
}

// A length within the limit that never arrives must not cost the memory that it announces.
TEST(FrameChannel, DoesNotAllocateWhatWasOnlyAnnounced) {
  const auto frame = ReceiveBytes(Prefix(2, FrameChannel::kMaxPayload) + "{}" + "abc");
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, Code::kUnavailable);
}

TEST(FrameChannel, RefusesAHeaderThatIsNoObject) {
  for (const std::string text : {"[]", "12", "{]", "\xff\xfe", "\"a\""}) {
    EXPECT_EQ(ReceiveBytes(Prefix(static_cast<std::uint32_t>(text.size()), 0) + text).error().code,
              Code::kDataLoss)
        << text;
  }
}

TEST(FrameChannel, RefusesToSendTextThatIsNoUtf8) {
  const Ends ends = Pair();
  FrameChannel channel(ends.ours);
  FrameChannel peer(ends.theirs);
  const Status sent = channel.Send({{"kind", "\xff"}});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace cloister::base
