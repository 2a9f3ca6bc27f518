// How states at the borders of blocks agree: for any state, whatever rolls it.
#include "agreement.cuh"
#include "rolling.cuh"

// As `look` of sweeps.cu, of states with n components and one part; a warp for each block.
template <class R>
INLINE void look(const Arguments &a, const Block *blocks, u64 count, const R *starts, R *next, u32 *open, u32 *any, Tally *tally,
                 u64 window, u64 max_steps, u32 n) {
  const u64 i = thread() / 32;
  const u32 lane = threadIdx.x % 32;
  if (i >= count) return;
  const Block block = blocks[i];
  if (block.flags & FIRST) {
    if (lane == 0) open[i] = 0;
    return;
  }
  const R *before = reinterpret_cast<const R *>(a.states) + (block.state - 1) * n, *start = starts + i * n;
  Agreement<R> agreement(a.atol, a.rtol);
#pragma unroll 1
  for (u32 k = lane; k < n; k += 32) agreement.look(before[k], start[k], R(0));
  bool within = in_all_lanes(agreement.within);
  if (!within) {
    // Most agree without a look at how large they lately were.
    u64 steps = block.state % max_steps;
    if (steps > window) steps = window;
    agreement.within = true;
#pragma unroll 1
    for (u32 k = lane; k < n; k += 32) {
      R size = R(0);
      const R *x = before + k;
#pragma unroll 1
      for (u64 t = 0; t < steps; ++t, x -= n) size = max(size, fabs(*x));
      agreement.look(before[k], start[k], size);
    }
    within = in_all_lanes(agreement.within);
  }
  const u64 residual = order(within ? double(agreement.largest) : agreement.residual());
  raise(&tally->all, residual);
  if (lane == 0) open[i] = !within;
  if (within) return;
#pragma unroll 1
  for (u32 k = lane; k < n; k += 32) next[i * n + k] = before[k];
  raise(&tally->residual, residual);
  if (lane > 0) return;
  any[i] = 1;
  atomicAdd(&tally->open, 1ull);
}

// The largest magnitude of each component over the last steps before each block, whose `len` here is the number of steps of the
// sequence before it; a thread for each component.
template <class R> INLINE void sizes(const R *states, const Block *blocks, u64 count, u32 n, R *out, u64 window) {
  const u64 i = thread();
  if (i >= count * n) return;
  const Block block = blocks[i / n];
  const u32 steps = block.len < window ? block.len : u32(window);
  const R *x = states + block.state * n + i % n;
  R size = R(0);
#pragma unroll 1
  for (u32 t = 0; t < steps; ++t) {
    x -= n;
    size = max(size, fabs(*x));
  }
  out[i] = size;
}

#define KERNELS(R, PRECISION) \
  extern "C" __global__ void __launch_bounds__(128) look_whole_##PRECISION( \
      Arguments a, const Block *blocks, u64 count, const R *starts, R *next, u32 *open, u32 *any, Tally *tally, u64 window, \
      u64 max_steps, u32 n) { \
    look<R>(a, blocks, count, starts, next, open, any, tally, window, max_steps, n); \
  } \
  extern "C" __global__ void __launch_bounds__(128) sizes_##PRECISION( \
      const R *states, const Block *blocks, u64 count, u32 n, R *out, u64 window) { \
    sizes<R>(states, blocks, count, n, out, window); \
  }
KERNELS(float, f32)
KERNELS(double, f64)
