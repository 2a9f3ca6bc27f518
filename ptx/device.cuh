// What all kernels share; compiles under NVRTC.
#pragma once

typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;
typedef long long i64;

#define INLINE static __device__ __forceinline__
