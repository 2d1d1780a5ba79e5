#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

#include "base/result.h"

namespace cloister::kernels::device {

class Block;

// The emulator's half of device.h: one GPU thread. Handed to a kernel by Launch.
//
// Stricter than a GPU where a GPU would forgive: shared memory holds a pattern of no meaning until
// it is written, and an asynchronous copy lands only in the WaitCopies that waits for it, so that a
// kernel that forgets a wait or a barrier reads wrong bytes every time and not once in a while.
class Thread {
 public:
  Thread(Block& owner, int thread, int block) : owner_(owner), thread_(thread), block_(block) {}

  int thread() const { return thread_; }
  int block() const { return block_; }

  template <typename T>
  T& Shared() const {
    static_assert(std::is_trivial_v<T>);
    return *static_cast<T*>(SharedMemory(sizeof(T)));
  }
  void Barrier() const;
  float ShuffleXor(float value, int mask) const;
  void CopyAsync16(void* to, const void* from) const;
  void CommitCopies() const;
  template <int N>
  void WaitCopies() const {
    WaitForCopies(N);
  }

 private:
  void* SharedMemory(std::size_t bytes) const;
  void WaitForCopies(std::size_t groups_left) const;

  Block& owner_;
  int thread_;
  int block_;
};

std::int32_t DotProduct4(std::int32_t a, std::int32_t b, std::int32_t c);
float HalfToFloat(std::uint16_t half);

// Runs `kernel` once for each thread of `blocks` blocks, the blocks one after another, a block's
// threads as fibers that change over at barriers and shuffles. `threads` is a multiple of 32.
// kInternal, naming the block, when threads wait at a barrier or shuffle that another thread of the
// block or warp never reaches (undefined on a GPU), or when a copy is misaligned.
base::Status Launch(int blocks, int threads, const std::function<void(const Thread&)>& kernel);

}  // namespace cloister::kernels::device
