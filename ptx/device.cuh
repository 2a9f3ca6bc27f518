// What all kernels share; compiles under NVRTC.
#pragma once

typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;
typedef long long i64;

#define INLINE static __device__ __forceinline__

// The thread's number among all in its row of blocks.
INLINE u64 thread() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }

// All lanes of a warp.
enum : u32 { ALL = 0xffffffffu };

template <class R> INLINE bool finite(R x) { return x - x == R(0); }

// A flag in global memory: what was written before the release is read after an acquire that sees it, by the thread that acquires.
INLINE u32 acquired(const u32 *flag) {
  u32 value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
  return value;
}
INLINE void release(u32 *flag, u32 value) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}
INLINE void await(const u32 *flag) {
  while (acquired(flag) == 0) {}
}
