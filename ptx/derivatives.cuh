// What the sweeps of derivatives go along, and what they come to.
#pragma once
#include "block.cuh"

// Steps for which one size is kept.
enum : u32 { TILE = 16 };

// A solved trajectory.
struct Path {
    const char *states, *inputs, *initial;
    u64 state_bytes, input_bytes, max_steps;
};

// Rows of a block of time that are used: others are no numbers.
struct Used {
    u32 from, to;
};

struct Swept {
    double difference, magnitude;
};

// A sweep over `count` blocks, those that `chosen` lists or all: `borders`, `noted`, `swept` are in the order of the sweep, `sizes`
// [blocks, tiles] in that of all blocks.
struct Sweep {
    const Block *blocks;
    const u32 *chosen;
    u64 count;
    char *borders;
    const char *given;
    char *out;
    const double *sizes;
    // What each part adds to a tile, [count, tiles, parts], where it is not lost in rounding.
    double *noted;
    u64 tiles, parts;
    Swept *swept;
    // Of a size these shares of the largest, and of what is there, are lost in rounding.
    const double *largest;
    double nothing, negligible;
    // Whether it is the first, and whether more is kept than borders.
    u64 first, record;
};

// Threads of the largest block of them, and its warps.
enum : u32 { LARGEST = 512, WARPS = LARGEST / 32 };

// The sum of a number over a block of threads, in each of them: in each warp, then over the warps in their order.
INLINE double sum_in_all(double x, double *warps) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(ALL, x, d);
  __syncthreads();
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
  __syncthreads();
  double sum = 0.0;
  for (u32 w = 0; w < blockDim.x / 32; ++w) sum += warps[w];
  return sum;
}
