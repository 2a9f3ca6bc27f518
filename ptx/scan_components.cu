// Inclusive scan of affine maps with diagonal matrices, one pass: elements are read once and written once.
//
// Component q of the element at t is a map x -> a x + b. The scan goes from the first step to the last, or backwards, and appends each
// element to those before it on its way, S ∘ e = (a_e a_S, a_e b_S + b_e), or prepends it, e ∘ S.
//
// A tile is C components × ROWS · ITEMS steps; thread (row, c) has ITEMS consecutive steps of component c. Tiles of a sequence are
// in groups of GROUP. A tile publishes its total. Its prefix is the fold of the totals before it in its group, by rows of a fixed
// length, after the total of all groups before, which the last tile of each group publishes. The order of every combination so
// follows from the sizes alone: the same bits in every run.
//
// Tiles take their numbers from a counter, so that those before one have begun; counter and flags are zero before the launch.
#include "device.cuh"

enum : int { THREADS = 256 };

template <class R> struct Map { R a, b; };

// The map of what came first on the way and of what comes after it.
template <bool PREPEND, class R> INLINE Map<R> join(Map<R> first, Map<R> second) {
  const Map<R> late = PREPEND ? first : second, early = PREPEND ? second : first;
  return {late.a * early.a, fma(late.a, early.b, late.b)};
}

template <class R> INLINE Map<R> shifted_up(Map<R> x, int lanes) {
  return {__shfl_up_sync(ALL, x.a, lanes), __shfl_up_sync(ALL, x.b, lanes)};
}

template <class R, int C, int ITEMS, bool PREPEND> struct Scan {
  enum : int {
    ROWS = THREADS / C,
    WARP_ROWS = 32 / C,
    WARPS = THREADS / 32,
    TILE = ROWS * ITEMS,
    GROUP = ROWS < 32 ? 32 : ROWS > 128 ? 128 : ROWS,
    // Totals that a row folds by itself.
    RUN = (GROUP + ROWS - 1) / ROWS,
    // Where lanes lie along components in memory, threads read it themselves; else a tile goes through shared memory.
    STAGED = C < 32,
    STAGE = STAGED ? TILE * C + ROWS * C : 1,
  };

  struct Shared {
    u32 id;
    R warp_a[WARPS][C], warp_b[WARPS][C];
    R prefix_a[C], prefix_b[C];
    R stage_a[STAGE], stage_b[STAGE];
  };

  // One word in each row's stretch keeps rows out of each other's banks.
  static __device__ __forceinline__ int staged(int t, int c) { return (t + t / ITEMS) * C + c; }

  // Scan over the rows of the block, of which the first `rows` (at least one) hold a map. Returns what is before the row, if it is
  // not the first, and their total.
  static __device__ __forceinline__ void rows_scanned(Shared &s, Map<R> own, int rows, Map<R> &before, Map<R> &total) {
    const int c = threadIdx.x % C, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    Map<R> inclusive = own;
#pragma unroll
    for (int d = 1; d < WARP_ROWS; d *= 2) {
      const Map<R> first = shifted_up(inclusive, d * C);
      if (lane >= d * C) inclusive = join<PREPEND>(first, inclusive);
    }
    before = shifted_up(inclusive, WARP_ROWS > 1 ? C : 0);
    const int held = rows - warp * WARP_ROWS;
    const int last = held < WARP_ROWS ? held - 1 : WARP_ROWS - 1;
    if (lane / C == last) {
      s.warp_a[warp][c] = inclusive.a;
      s.warp_b[warp][c] = inclusive.b;
    }
    __syncthreads();
    Map<R> earlier = {R(1), R(0)};
    total = {s.warp_a[0][c], s.warp_b[0][c]};
    if (warp == 1) earlier = total;
#pragma unroll
    for (int w = 1; w < WARPS; ++w) {
      if (w * WARP_ROWS >= rows) break;
      total = join<PREPEND>(total, {s.warp_a[w][c], s.warp_b[w][c]});
      if (warp == w + 1) earlier = total;
    }
    if (lane < C) before = earlier;
    else if (warp > 0) before = join<PREPEND>(earlier, before);
    __syncthreads();
  }

  static __device__ __forceinline__ void run(const R *__restrict__ in, R *__restrict__ out, u64 steps, u32 n, u32 sequences,
                                             u32 shared_factor, u32 backwards, R *totals, R *groups, u32 *flags, u32 *group_flags, u32 *counter) {
    __shared__ Shared s;
    const int tid = threadIdx.x, c = tid % C, row = tid / C;
    if (tid == 0) s.id = atomicAdd(counter, 1u);
    __syncthreads();
    const u32 chunks = (n + C - 1) / C, columns = sequences * chunks;
    const u32 tile = s.id / columns, column = s.id % columns;
    const u32 first_component = column % chunks * C, component = first_component + c;
    const bool on = component < n;
    // Element [a n, b n], or [a, b n] with one factor for all components.
    const u64 width = shared_factor ? n + 1 : 2 * n;
    const u32 offset = shared_factor ? 1 : n, factors = shared_factor ? 0 : ~0u;
    const u64 sequence = column / chunks * steps * width;
    const u64 tile_begin = u64(tile) * TILE;
    const int held = steps - tile_begin < TILE ? int(steps - tile_begin) : TILE;
    const i64 stride = backwards ? -i64(width) : i64(width);
    const u64 begin = sequence + (backwards ? steps - 1 - tile_begin : tile_begin) * width;
    auto place = [&](int t) { return begin + t * stride; };

    Map<R> v[ITEMS];
    if constexpr (STAGED) {
      for (int i = tid; i < TILE * C; i += THREADS) {
        const int t = i / C, q = i % C;
        const bool there = t < held && first_component + q < n;
        const u64 at = there ? place(t) : 0;
        s.stage_a[staged(t, q)] = there ? in[at + ((first_component + q) & factors)] : R(1);
        s.stage_b[staged(t, q)] = there ? in[at + offset + first_component + q] : R(0);
      }
      __syncthreads();
#pragma unroll
      for (int k = 0; k < ITEMS; ++k) v[k] = {s.stage_a[staged(row * ITEMS + k, c)], s.stage_b[staged(row * ITEMS + k, c)]};
    } else {
#pragma unroll
      for (int k = 0; k < ITEMS; ++k) {
        const int t = row * ITEMS + k;
        const bool there = on && t < held;
        const u64 at = there ? place(t) : 0;
        v[k].a = there ? in[at + (component & factors)] : R(1);
        v[k].b = there ? in[at + offset + component] : R(0);
      }
    }
#pragma unroll
    for (int k = 1; k < ITEMS; ++k) v[k] = join<PREPEND>(v[k - 1], v[k]);

    Map<R> before, total;
    rows_scanned(s, v[ITEMS - 1], ROWS, before, total);

    // The prefix of the tile.
    const u32 place_in_group = tile % GROUP, group = tile / GROUP;
    const u64 slot = u64(tile) * columns + column;
    if (place_in_group + 1 < GROUP) {
      if (row == 0) {
        totals[(slot * C + c) * 2] = total.a;
        totals[(slot * C + c) * 2 + 1] = total.b;
      }
      __threadfence();
      __syncthreads();
      if (tid == 0) release(&flags[slot], 1u);
    }
    Map<R> prefix = {R(1), R(0)};
    if (place_in_group > 0) {
      const u32 rows = (place_in_group + RUN - 1) / RUN;
      Map<R> fold = {R(1), R(0)};
      const u32 from = row * RUN;
      const u64 group_begin = u64(group) * GROUP;
      for (u32 i = from; i < from + RUN && i < place_in_group; ++i) {
        const u64 other = (group_begin + i) * columns + column;
        await(&flags[other]);
        const Map<R> x = {totals[(other * C + c) * 2], totals[(other * C + c) * 2 + 1]};
        fold = i == from ? x : join<PREPEND>(fold, x);
      }
      Map<R> unused;
      rows_scanned(s, fold, int(rows), unused, prefix);
    }
    const bool last = place_in_group + 1 == GROUP;
    if (last || group > 0) {
      // All of the group up to this tile, before the groups before it arrive.
      Map<R> through = place_in_group > 0 ? join<PREPEND>(prefix, total) : total;
      if (group > 0) {
        const u64 other = u64(group - 1) * columns + column;
        await(&group_flags[other]);
        const Map<R> x = {groups[(other * C + c) * 2], groups[(other * C + c) * 2 + 1]};
        through = join<PREPEND>(x, through);
        prefix = place_in_group > 0 ? join<PREPEND>(x, prefix) : x;
      }
      if (last) {
        const u64 own = u64(group) * columns + column;
        if (row == 0) {
          groups[(own * C + c) * 2] = through.a;
          groups[(own * C + c) * 2 + 1] = through.b;
        }
        __threadfence();
        __syncthreads();
        if (tid == 0) release(&group_flags[own], 1u);
      }
    }

    if (tile > 0) before = row > 0 ? join<PREPEND>(prefix, before) : prefix;
    if (tile > 0 || row > 0) {
#pragma unroll
      for (int k = 0; k < ITEMS; ++k) v[k] = join<PREPEND>(before, v[k]);
    }
    if constexpr (STAGED) {
#pragma unroll
      for (int k = 0; k < ITEMS; ++k) {
        s.stage_a[staged(row * ITEMS + k, c)] = v[k].a;
        s.stage_b[staged(row * ITEMS + k, c)] = v[k].b;
      }
      __syncthreads();
      for (int i = tid; i < TILE * C; i += THREADS) {
        const int t = i / C, q = i % C;
        if (t >= held || first_component + q >= n) continue;
        const u64 at = place(t);
        if (((first_component + q) & ~factors) == 0) out[at + ((first_component + q) & factors)] = s.stage_a[staged(t, q)];
        out[at + offset + first_component + q] = s.stage_b[staged(t, q)];
      }
    } else {
#pragma unroll
      for (int k = 0; k < ITEMS; ++k) {
        const int t = row * ITEMS + k;
        if (!on || t >= held) continue;
        const u64 at = place(t);
        if ((component & ~factors) == 0) out[at + (component & factors)] = v[k].a;
        out[at + offset + component] = v[k].b;
      }
    }
  }
};

// `in` and `out` are [sequences, steps, width] and do not overlap; `totals` is [tiles, columns, C, 2], `groups` [groups, columns, C, 2],
// one flag for each of their [C, 2], where columns = sequences · ⌈n / C⌉. One block for each tile of each column.
#define KERNEL(NAME, R, C, ITEMS, PREPEND) \
  extern "C" __global__ void __launch_bounds__(THREADS, 2) NAME( \
      const R *in, R *out, u64 steps, u32 n, u32 sequences, u32 shared_factor, u32 backwards, R *totals, R *groups, u32 *flags, u32 *group_flags, \
      u32 *counter) { \
    Scan<R, C, ITEMS, PREPEND>::run(in, out, steps, n, sequences, shared_factor, backwards, totals, groups, flags, group_flags, counter); \
  }
#define BOTH(C, ORDER, PREPEND) \
  KERNEL(scan_components_##C##_##ORDER##_f32, float, C, 8, PREPEND) \
  KERNEL(scan_components_##C##_##ORDER##_f64, double, C, 4, PREPEND)
BOTH(1, append, false)
BOTH(1, prepend, true)
BOTH(4, append, false)
BOTH(4, prepend, true)
BOTH(8, append, false)
BOTH(8, prepend, true)
BOTH(32, append, false)
BOTH(32, prepend, true)
