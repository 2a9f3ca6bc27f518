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

// The bits of numbers that are not negative have the order of the numbers, with NaN above them.
INLINE u64 order(double x) { return (u64)__double_as_longlong(x) & 0x7fffffffffffffffull; }

// The same as atomicMax. A look before spares most of the many threads that come to one place from waiting for each other.
template <class T> INLINE void raise(T *to, T value) {
    if (value > *(const volatile T *)to) atomicMax(to, value);
}
