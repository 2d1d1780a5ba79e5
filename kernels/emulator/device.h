#pragma once

// What kernels use of a GPU, under two compilers. nvcc makes CUDA of it; another compiler an
// emulator that runs a block's threads as fibers, so that the same kernel source is tested without
// a GPU. A kernel is a function of a device::Thread and its arguments:
//
//   thread(), block()     index in the block, index of the block (one dimension)
//   Shared<T>()           the block's shared memory, one trivial struct T a kernel; not initialized
//   Barrier()             all threads of the block; each must come
//   ShuffleXor(v, mask)   v of lane (lane ^ mask) of the same warp; all 32 lanes must come
//   CopyAsync16(to, from) 16 aligned bytes from global to shared memory (cp.async); the bytes may
//   be
//                         read after CommitCopies and WaitCopies by the thread that copied, and
//                         after a Barrier behind that by the others
//   CommitCopies()        closes a group of copies, perhaps an empty one
//   WaitCopies<N>()       waits until at most the N youngest groups are still under way
//
// and of the functions DotProduct4 (dp4a: c plus four products of signed bytes) and HalfToFloat.

#if defined(__CUDACC__)

#include <cstdint>

#define CLOISTER_DEVICE __device__ __forceinline__

namespace cloister::kernels::device {

class Thread {
 public:
  CLOISTER_DEVICE int thread() const { return static_cast<int>(threadIdx.x); }
  CLOISTER_DEVICE int block() const { return static_cast<int>(blockIdx.x); }

  template <typename T>
  CLOISTER_DEVICE T& Shared() const {
    __shared__ T storage;
    return storage;
  }

  CLOISTER_DEVICE void Barrier() const { __syncthreads(); }

  CLOISTER_DEVICE float ShuffleXor(float value, int mask) const {
    return __shfl_xor_sync(0xffffffffu, value, mask);
  }

  CLOISTER_DEVICE void CopyAsync16(void* to, const void* from) const {
    const auto shared = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(from) : "memory");
  }
  CLOISTER_DEVICE void CommitCopies() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
  template <int N>
  CLOISTER_DEVICE void WaitCopies() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
  }
};

CLOISTER_DEVICE std::int32_t DotProduct4(std::int32_t a, std::int32_t b, std::int32_t c) {
  return __dp4a(a, b, c);
}

CLOISTER_DEVICE float HalfToFloat(std::uint16_t half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}

}  // namespace cloister::kernels::device

#else

#include "kernels/emulator/block.h"

#define CLOISTER_DEVICE inline

#endif
