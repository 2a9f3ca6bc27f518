// Cotangents of the built-in cells, backwards: a block of threads for each block of time, a unit in each thread.
//
// What a step makes of a unit's cotangent is there already, as coefficients (cell_slopes.cu). What is left to do one step after the
// other are products with the transposed weights of the state, a column in each thread: in its registers, or, of larger cells, read in
// each step, neighbours beside each other.
#include "derivatives.cuh"

extern __shared__ __align__(16) char memory[];

// The columns of a unit in a matrix [ROWS · n, n]: of up to N units in registers, or, if N is 0, in memory.
template <class R, int N, int ROWS> struct Columns {
  enum : int { ENTRIES = N ? N : 1 };
  R held[ROWS][ENTRIES];
  const R *column;
  u32 n;

  __device__ __forceinline__ void load(const R *matrix, u32 units, bool on) {
    n = units;
    column = matrix + threadIdx.x;
    if constexpr (N > 0) {
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
#pragma unroll
        for (u32 k = 0; k < N; ++k) held[r][k] = on && k < n ? column[((u64)r * n + k) * n] : R(0);
      }
    }
  }

  // The sum over r and k of matrix[r · n + k, unit] x[r · width + k], x in shared memory; beyond n it is zero. In several sums, so that
  // they wait less for each other.
  __device__ __forceinline__ R product(const R *x, u32 width) const {
    R sums[ROWS + 1] = {};
    if constexpr (N > 0) {
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
#pragma unroll
        for (int k = 0; k < N; ++k) sums[k % 2 ? r : ROWS] = fma(held[r][k], x[r * width + k], sums[k % 2 ? r : ROWS]);
      }
    } else {
#pragma unroll 4
      for (u32 k = 0; k < n; ++k) {
#pragma unroll
        for (int r = 0; r < ROWS; ++r) sums[r] = fma(column[((u64)r * n + k) * n], x[r * width + k], sums[r]);
      }
    }
    R sum = sums[0];
#pragma unroll
    for (int r = 1; r <= ROWS; ++r) sum = sum + sums[r];
    return sum;
  }
};

// Cells, with the numbers of cell_slopes.cu; EXCHANGED left factors go round, and
//   load(params, m, n, on)         reads the weights
//   step(v, c, left, x, width, on) from the cotangents of a unit those of its state before, and its left factors; x is shared memory for
//                                  EXCHANGED · width numbers
template <class R, int N> struct Elman {
  enum : int { PARTS = 1, COEFFICIENTS = 1, LEFTS = 1, EXCHANGED = 1 };
  Columns<R, N, 1> hidden;

  __device__ __forceinline__ void load(const R *params, u32 m, u32 n, bool on) { hidden.load(params + (u64)n * m, n, on); }
  __device__ __forceinline__ void step(R (&v)[PARTS], const R (&c)[COEFFICIENTS], R (&left)[LEFTS], R *x, u32, bool on) const {
    left[0] = v[0] * c[0];
    x[threadIdx.x] = left[0];
    __syncthreads();
    if (on) v[0] = hidden.product(x, 0);
  }
};

template <class R, int N> struct Gru {
  enum : int { PARTS = 1, COEFFICIENTS = 5, LEFTS = 4, EXCHANGED = 3 };
  Columns<R, N, 3> hidden;

  __device__ __forceinline__ void load(const R *params, u32 m, u32 n, bool on) { hidden.load(params + 3 * (u64)n * m, n, on); }
  __device__ __forceinline__ void step(R (&v)[PARTS], const R (&c)[COEFFICIENTS], R (&left)[LEFTS], R *x, u32 width, bool on) const {
#pragma unroll
    for (int k = 0; k < LEFTS; ++k) {
      left[k] = v[0] * c[k];
      if (k < EXCHANGED) x[k * width + threadIdx.x] = left[k];
    }
    __syncthreads();
    if (on) v[0] = fma(v[0], c[4], hidden.product(x, width));
  }
};

template <class R, int N> struct Lstm {
  enum : int { PARTS = 2, COEFFICIENTS = 6, LEFTS = 4, EXCHANGED = 4 };
  Columns<R, N, 4> hidden;

  __device__ __forceinline__ void load(const R *params, u32 m, u32 n, bool on) { hidden.load(params + 4 * (u64)n * m, n, on); }
  __device__ __forceinline__ void step(R (&v)[PARTS], const R (&c)[COEFFICIENTS], R (&left)[LEFTS], R *x, u32 width, bool on) const {
    const R of_cell = fma(v[0], c[1], v[1]);
    left[0] = of_cell * c[2];
    left[1] = of_cell * c[3];
    left[2] = of_cell * c[4];
    left[3] = v[0] * c[0];
#pragma unroll
    for (int k = 0; k < LEFTS; ++k) x[k * width + threadIdx.x] = left[k];
    __syncthreads();
    v[1] = of_cell * c[5];
    if (on) v[0] = hidden.product(x, width);
  }
};

template <class R, int N> struct Lem {
  enum : int { PARTS = 2, COEFFICIENTS = 6, LEFTS = 4, EXCHANGED = 4 };
  Columns<R, N, 3> of_y;
  Columns<R, N, 1> of_z;

  __device__ __forceinline__ void load(const R *params, u32 m, u32 n, bool on) {
    const R *rest = params + 4 * (u64)n * m + 4 * (u64)n;
    of_y.load(rest, n, on);
    of_z.load(rest + 3 * (u64)n * n + 3 * (u64)n, n, on);
  }
  __device__ __forceinline__ void step(R (&v)[PARTS], const R (&c)[COEFFICIENTS], R (&left)[LEFTS], R *x, u32 width, bool on) const {
    left[2] = v[0] * c[1];
    x[3 * width + threadIdx.x] = left[2];
    __syncthreads();
    if (on) v[1] = v[1] + of_z.product(x + 3 * width, width);
    left[0] = v[0] * c[0];
    left[1] = v[1] * c[3];
    left[3] = v[1] * c[4];
    x[threadIdx.x] = left[0];
    x[width + threadIdx.x] = left[1];
    x[2 * width + threadIdx.x] = left[3];
    __syncthreads();
    v[1] = v[1] * c[5];
    if (on) v[0] = fma(v[0], c[2], of_y.product(x, width));
  }
};

// As `pull` of derivatives.cu. `coefficients` are those of cell_slopes.cu, for `rows` steps of each block; `factors` has rows of `width`,
// the first numbers of which are the left factors; `used` says which of them are there. These are in the order of the sweep, or, if they
// are `kept`, of all blocks.
template <template <class, int> class Cell, class R, int N>
INLINE void pull(const Path &path, const Sweep &s, u64 rows, const R *params, u32 m, u32 n, const R *coefficients, R *factors, u64 width,
                 Used *used, u64 kept) {
  using Unit = Cell<R, N>;
  enum : int { PARTS = Unit::PARTS, COEFFICIENTS = Unit::COEFFICIENTS, LEFTS = Unit::LEFTS };
  __shared__ double warps[WARPS];
  // In two copies that take turns, so that one wait a step will do.
  R *exchange = reinterpret_cast<R *>(memory);
  const u64 i = blockIdx.x, own = s.chosen ? s.chosen[i] : i, place = kept ? own : i;
  const u32 unit = threadIdx.x, all = blockDim.x;
  const bool on = unit < n;
  const Block block = s.blocks[own];
  R *border = reinterpret_cast<R *>(s.borders) + i * n * PARTS;
  R v[PARTS];
  double size = 0.0;
#pragma unroll
  for (int part = 0; part < PARTS; ++part) {
    v[part] = on ? border[part * n + unit] : R(0);
    size += (double)fabs(v[part]);
  }
  if (unit == 0 && factors) used[place] = {0, 0};
  // Nothing is handed on.
  if (!s.first && sum_in_all(size, warps) == 0.0) return;
  size = 0.0;
  Unit cell;
  cell.load(params, m, n, on);
  const R *given = reinterpret_cast<const R *>(s.given) + block.state * n * PARTS;
  auto coefficient = [&](R(&c)[COEFFICIENTS], u32 t) {
#pragma unroll
    for (int k = 0; k < COEFFICIENTS; ++k) c[k] = on ? coefficients[((place * rows + t) * COEFFICIENTS + k) * n + unit] : R(0);
  };
  auto cotangents = [&](R(&own)[PARTS], u32 t) {
#pragma unroll
    for (int part = 0; part < PARTS; ++part) own[part] = s.first && on ? given[((u64)t * PARTS + part) * n + unit] : R(0);
  };
  R c[COEFFICIENTS] = {}, own_given[PARTS] = {};
  if (block.len > 0) {
    coefficient(c, block.len - 1);
    cotangents(own_given, block.len - 1);
  }
  u32 t = block.len;
#pragma unroll 1
  while (t-- > 0) {
#pragma unroll
    for (int part = 0; part < PARTS; ++part) {
      v[part] = v[part] + own_given[part];
      size += (double)fabs(v[part]);
    }
    // What the next step needs is on its way while this one is gone through.
    R next[COEFFICIENTS] = {}, next_given[PARTS] = {}, left[LEFTS];
    if (t > 0) {
      coefficient(next, t - 1);
      cotangents(next_given, t - 1);
    }
    cell.step(v, c, left, exchange + (t % 2) * Unit::EXCHANGED * all, all, on);
    if (factors && on) {
#pragma unroll
      for (int k = 0; k < LEFTS; ++k) factors[(place * rows + t) * width + (u64)k * n + unit] = left[k];
    }
    if (t % TILE == 0 && s.record) {
      const u32 tile = t / TILE;
      const double sum = sum_in_all(size, warps);
      if (unit == 0) used[place] = {t, block.len};
      if (!s.first && (sum <= s.sizes[own * s.tiles + tile] * s.negligible || sum <= *s.largest * s.nothing)) {
#pragma unroll
        for (int part = 0; part < PARTS; ++part) v[part] = R(0);
        break;
      }
      if (unit == 0) s.noted[i * s.tiles + tile] = sum;
      size = 0.0;
    }
#pragma unroll
    for (int k = 0; k < COEFFICIENTS; ++k) c[k] = next[k];
#pragma unroll
    for (int part = 0; part < PARTS; ++part) own_given[part] = next_given[part];
  }
  if (!on) return;
#pragma unroll
  for (int part = 0; part < PARTS; ++part) border[part * n + unit] = v[part];
}

#define KERNEL(CELL, NAME, R, N, THREADS) \
  extern "C" __global__ void __launch_bounds__(THREADS, 1) pull_##NAME( \
      Path path, Sweep s, u64 rows, const R *params, u32 m, u32 n, const R *coefficients, R *factors, u64 width, Used *used, \
      u64 kept) { \
    pull<CELL, R, N>(path, s, rows, params, m, n, coefficients, factors, width, used, kept); \
  }
#define SIZES(CELL, NAME) \
  KERNEL(CELL, NAME##_16_f32, float, 16, 32) \
  KERNEL(CELL, NAME##_16_f64, double, 16, 32) \
  KERNEL(CELL, NAME##_32_f32, float, 32, 32) \
  KERNEL(CELL, NAME##_any_f32, float, 0, LARGEST) \
  KERNEL(CELL, NAME##_any_f64, double, 0, LARGEST)
SIZES(Elman, elman)
SIZES(Gru, gru)
SIZES(Lstm, lstm)
SIZES(Lem, lem)

// Adds to the rows `out` [B, T, m] of the blocks' steps, or with `first` writes, the cotangents of the inputs: of each step's left factors,
// `lefts` of them from which on each but the first `before` is `skipped` numbers further, times the weights [lefts, m].
template <class R>
INLINE void inputs(const Sweep &s, u64 rows, const R *weights, u32 m, u64 lefts, u64 before, u64 skipped, const R *factors, u64 width,
                   const Used *used, u64 kept) {
  const u64 k = thread();
  if (k >= s.count * rows * m) return;
  const u64 row = k / m, i = row / rows, t = row % rows;
  const u32 j = (u32)(k % m);
  const u64 own = s.chosen ? s.chosen[i] : i, place = kept ? own : i;
  const Block block = s.blocks[own];
  if (t < used[place].from || t >= used[place].to) return;
  const R *left = factors + (place * rows + t) * width;
  R sum = 0;
  for (u64 l = 0; l < before; ++l) sum = fma(left[l], weights[l * m + j], sum);
  for (u64 l = before; l < lefts; ++l) sum = fma(left[l + skipped], weights[l * m + j], sum);
  R *at = reinterpret_cast<R *>(s.out) + (block.state + t) * m + j;
  *at = s.first ? sum : *at + sum;
}

extern "C" __global__ void __launch_bounds__(128)
inputs_f32(Sweep s, u64 rows, const float *weights, u32 m, u64 lefts, u64 before, u64 skipped, const float *factors, u64 width,
           const Used *used, u64 kept) {
  inputs(s, rows, weights, m, lefts, before, skipped, factors, width, used, kept);
}

extern "C" __global__ void __launch_bounds__(128)
inputs_f64(Sweep s, u64 rows, const double *weights, u32 m, u64 lefts, u64 before, u64 skipped, const double *factors, u64 width,
           const Used *used, u64 kept) {
  inputs(s, rows, weights, m, lefts, before, skipped, factors, width, used, kept);
}
