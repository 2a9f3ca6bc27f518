// When states agree: for kernels that know the precision, and share out a state among threads. The rule of `Tolerance`
// (src/solver/tolerance.rs), in the operations of the markers `meet` and `check` (backends/cuda/emit/sweeps.rs).
#pragma once
#include "device.cuh"

INLINE bool same_bits(float a, float b) { return __float_as_uint(a) == __float_as_uint(b); }
INLINE bool same_bits(double a, double b) { return __double_as_longlong(a) == __double_as_longlong(b); }

template <class R> struct Agreement {
  R atol, rtol;
  // Whether all components that were looked at agree, their largest difference, and NaN if one is not finite.
  bool within = true;
  R largest = R(0), lost = R(0);

  __device__ __forceinline__ Agreement(double atol, double rtol) : atol(R(atol)), rtol(R(rtol)) {}

  // A component of about `size` lately.
  __device__ __forceinline__ void look(R a, R b, R size) {
    const R now = max(fabs(a), fabs(b)), lately = finite(size) ? size : R(0);
    const R most = max(min(lately, now * R(64)), now), difference = fabs(a - b);
    lost = fma(difference, R(0), lost);
    if (same_bits(a, b)) return;
    within = within && finite(difference) && difference <= fma(most, rtol, atol);
    largest = max(largest, difference);
  }

  // The largest difference: NaN if one is not finite.
  __device__ __forceinline__ double residual() const { return double(largest + lost); }
};

// Whether it holds in all lanes of a warp.
INLINE bool in_all_lanes(bool holds) {
  u32 fails = !holds;
#pragma unroll
  for (int d = 16; d > 0; d /= 2) fails |= __shfl_xor_sync(ALL, fails, d);
  return fails == 0;
}
