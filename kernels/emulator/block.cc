#include "kernels/emulator/block.h"

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "model/tensor.h"

namespace cloister::kernels::device {
namespace context = boost::context;
namespace {

constexpr int kWarp = 32;
constexpr std::size_t kStackBytes = std::size_t{64} << 10;
constexpr std::size_t kMaxShared = std::size_t{227} << 10;  // what a block of sm_90 may have
constexpr std::byte kPattern{0xa5};

struct Copy {
  void* to;
  const void* from;
};

// A point that a number of threads must reach before any goes on.
struct Meeting {
  int arrived = 0;
  std::uint64_t round = 0;
};

struct Lane {
  context::fiber fiber;   // the thread, while the scheduler runs
  context::fiber caller;  // the scheduler, while the thread runs
  bool done = false;
  float exchanged = 0;
  std::vector<Copy> open_copies;
  std::deque<std::vector<Copy>> copies;  // committed groups, oldest first
};

}  // namespace

class Block {
 public:
  explicit Block(int threads)
      : threads_(threads),
        lanes_(static_cast<std::size_t>(threads)),
        warps_(static_cast<std::size_t>(threads / kWarp)),
        shared_(kMaxShared) {}

  base::Status Run(int block, const std::function<void(const Thread&)>& kernel,
                   context::pooled_fixedsize_stack stacks);

  Lane& lane(int thread) { return lanes_[static_cast<std::size_t>(thread)]; }
  Meeting& barrier() { return barrier_; }
  Meeting& warp(int thread) { return warps_[static_cast<std::size_t>(thread / kWarp)]; }
  int threads() const { return threads_; }
  std::byte* shared() { return shared_.data(); }

  // Called on a thread's fiber.
  void Meet(int thread, Meeting& meeting, int members) {
    ++progress_;
    if (++meeting.arrived == members) {
      meeting.arrived = 0;
      ++meeting.round;
      return;
    }
    for (const std::uint64_t round = meeting.round; meeting.round == round;) Yield(thread);
  }
  void Fault(const std::string& what) {
    if (fault_.empty()) fault_ = what;
  }

 private:
  void Yield(int thread) { lane(thread).caller = std::move(lane(thread).caller).resume(); }
  bool RunOnce();

  int threads_;
  std::vector<Lane> lanes_;
  Meeting barrier_;
  std::vector<Meeting> warps_;
  std::vector<std::byte> shared_;
  std::uint64_t progress_ = 0;
  std::string fault_;
};

// Each thread up to its next wait. Whether any is left.
bool Block::RunOnce() {
  bool left = false;
  for (Lane& lane : lanes_) {
    if (lane.done) continue;
    lane.fiber = std::move(lane.fiber).resume();
    lane.done = !lane.fiber;
    left = left || !lane.done;
    if (lane.done) ++progress_;
  }
  return left;
}

base::Status Block::Run(int block, const std::function<void(const Thread&)>& kernel,
                        context::pooled_fixedsize_stack stacks) {
  std::fill(shared_.begin(), shared_.end(), kPattern);
  for (int t = 0; t < threads_; ++t) {
    lane(t) = Lane{};
    lane(t).fiber = context::fiber(std::allocator_arg, stacks,
                                   [this, t, block, &kernel](context::fiber&& caller) {
                                     lane(t).caller = std::move(caller);
                                     kernel(Thread(*this, t, block));
                                     return std::move(lane(t).caller);
                                   });
  }
  const std::string name = "emulated block " + std::to_string(block);
  for (std::uint64_t before = progress_; RunOnce(); before = progress_) {
    if (progress_ == before) {
      return base::Fail(base::Code::kInternal,
                        name + ": threads wait at a barrier or shuffle that others never reach");
    }
  }
  if (!fault_.empty()) return base::Fail(base::Code::kInternal, name + ": " + fault_);
  return {};
}

void Thread::Barrier() const { owner_.Meet(thread_, owner_.barrier(), owner_.threads()); }

float Thread::ShuffleXor(float value, int mask) const {
  owner_.lane(thread_).exchanged = value;
  owner_.Meet(thread_, owner_.warp(thread_), kWarp);
  const int first = thread_ / kWarp * kWarp;
  const float other = owner_.lane(first + ((thread_ - first) ^ (mask & (kWarp - 1)))).exchanged;
  owner_.Meet(thread_, owner_.warp(thread_), kWarp);  // before anybody's next value
  return other;
}

void Thread::CopyAsync16(void* to, const void* from) const {
  const bool aligned = reinterpret_cast<std::uintptr_t>(to) % 16 == 0 &&
                       reinterpret_cast<std::uintptr_t>(from) % 16 == 0;
  if (!aligned) owner_.Fault("an asynchronous copy is not aligned to 16 bytes");
  owner_.lane(thread_).open_copies.push_back({to, from});
}

void Thread::CommitCopies() const {
  Lane& lane = owner_.lane(thread_);
  lane.copies.push_back(std::exchange(lane.open_copies, {}));
}

void Thread::WaitForCopies(std::size_t groups_left) const {
  Lane& lane = owner_.lane(thread_);
  while (lane.copies.size() > groups_left) {
    for (const Copy& copy : lane.copies.front()) std::memcpy(copy.to, copy.from, 16);
    lane.copies.pop_front();
  }
}

void* Thread::SharedMemory(std::size_t bytes) const {
  CLOISTER_CHECK(bytes <= kMaxShared);
  // Vectors come aligned to 16 bytes from the allocator.
  return owner_.shared();
}

std::int32_t DotProduct4(std::int32_t a, std::int32_t b, std::int32_t c) {
  for (int i = 0; i < 4; ++i) {
    c += static_cast<std::int8_t>(a >> (8 * i)) * static_cast<std::int8_t>(b >> (8 * i));
  }
  return c;
}

float HalfToFloat(std::uint16_t half) { return model::HalfToFloat(half); }

base::Status Launch(int blocks, int threads, const std::function<void(const Thread&)>& kernel) {
  CLOISTER_CHECK(threads > 0 && threads % kWarp == 0);
  // Stacks come from a pool: making new ones would take most of the time.
  context::pooled_fixedsize_stack stacks(kStackBytes);
  for (int block = 0; block < blocks; ++block) {
    Block owner(threads);
    CLOISTER_RETURN_IF_ERROR(owner.Run(block, kernel, stacks));
  }
  return {};
}

}  // namespace cloister::kernels::device
