// Along a solved trajectory, what a step of a built-in cell makes of cotangents: a few coefficients for each unit, which need nothing of
// what comes after, so that all steps are found at once. `pull` of cell_pull.cu goes back with them.
//
// A block of threads has GROUP steps beside each other, a unit in each thread, so that a weight that was read serves all of them. Weights
// are read from transposed matrices, for neighbours to read beside each other; states and inputs from shared memory.
#include "derivatives.cuh"
#include "math/exponential.cuh"

enum : u32 { GROUP = 4 };

extern __shared__ __align__(16) char memory[];

// A number of each of a thread's steps.
template <class R> struct Steps {
  R at[GROUP];
};

// sums[r] += row r of a unit, of so many `columns`, times x [columns, GROUP] in shared memory. `transposed` is [columns, ROWS · n], at the unit.
template <int ROWS, class R>
INLINE void add_product(Steps<R> (&sums)[ROWS], const R *transposed, u32 n, const Steps<R> *x, u32 columns) {
#pragma unroll 2
  for (u32 k = 0; k < columns; ++k) {
    const Steps<R> now = x[k];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      const R weight = transposed[((u64)k * ROWS + r) * n];
#pragma unroll
      for (u32 s = 0; s < GROUP; ++s) sums[r].at[s] = fma(weight, now.at[s], sums[r].at[s]);
    }
  }
}

template <int ROWS, class R> INLINE void set(Steps<R> (&sums)[ROWS], const R *bias, u32 n) {
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
#pragma unroll
    for (u32 s = 0; s < GROUP; ++s) sums[r].at[s] = bias[(u64)r * n];
  }
}

// The slopes of tanh and of the logistic function, from their values.
template <class R> INLINE R of_tanh(R value) { return fma(-value, value, R(1)); }
template <class R> INLINE R of_logistic(R value) { return value * (R(1) - value); }

// What a unit reads: its parameters, with all matrices transposed; the inputs and the first n numbers of the state, of all steps.
template <class R> struct Given {
  const R *transposed;
  u32 m, n;
  R dt;
  const Steps<R> *x, *u;
  // Shared memory for a number of each unit.
  Steps<R> *exchange;
};

// Cells: PARTS numbers of the state in a unit, COEFFICIENTS, LEFTS factors and COMPUTED right ones (Adjoint in src/graph/adjoint.rs); and
//   step(given, unit, on, x, c, next)   the coefficients of a unit, which is there if it is `on`, and its next state from x
template <class R> struct Elman {
  enum : int { PARTS = 1, COEFFICIENTS = 1, LEFTS = 1, COMPUTED = 0 };

  static __device__ __forceinline__ void step(const Given<R> &g, u32 unit, bool on, const Steps<R> (&)[PARTS],
                                              Steps<R> (&c)[COEFFICIENTS], Steps<R> (&next)[PARTS]) {
    if (!on) return;
    const u64 m = g.m, n = g.n;
    const R *hidden = g.transposed + n * m + unit;
    Steps<R> sums[1];
    set(sums, hidden + n * n, g.n);
    add_product(sums, g.transposed + unit, g.n, g.u, g.m);
    add_product(sums, hidden, g.n, g.x, g.n);
#pragma unroll
    for (u32 s = 0; s < GROUP; ++s) {
      next[0].at[s] = hyperbolic_tangent(sums[0].at[s]);
      c[0].at[s] = of_tanh(next[0].at[s]);
    }
  }
};

template <class R> struct Gru {
  enum : int { PARTS = 1, COEFFICIENTS = 5, LEFTS = 4, COMPUTED = 0 };

  static __device__ __forceinline__ void step(const Given<R> &g, u32 unit, bool on, const Steps<R> (&x)[PARTS],
                                              Steps<R> (&c)[COEFFICIENTS], Steps<R> (&next)[PARTS]) {
    if (!on) return;
    const u64 m = g.m, n = g.n;
    const R *hidden = g.transposed + 3 * n * m + unit, *bias = hidden + 3 * n * n;
    Steps<R> sums[3];
    set(sums, bias, g.n);
    add_product(sums, g.transposed + unit, g.n, g.u, g.m);
    const Steps<R> of_n = sums[2];
#pragma unroll
    for (u32 s = 0; s < GROUP; ++s) sums[2].at[s] = bias[3 * n];
    add_product(sums, hidden, g.n, g.x, g.n);
#pragma unroll
    for (u32 s = 0; s < GROUP; ++s) {
      const R h = x[0].at[s], hidden_n = sums[2].at[s], r = logistic(sums[0].at[s]), z = logistic(sums[1].at[s]);
      const R fresh = hyperbolic_tangent(fma(r, hidden_n, of_n.at[s]));
      next[0].at[s] = fma(z, h - fresh, fresh);
      c[3].at[s] = (R(1) - z) * of_tanh(fresh);
      c[2].at[s] = c[3].at[s] * r;
      c[1].at[s] = (h - fresh) * of_logistic(z);
      c[0].at[s] = c[2].at[s] * hidden_n * (R(1) - r);
      c[4].at[s] = z;
    }
  }
};

template <class R> struct Lstm {
  enum : int { PARTS = 2, COEFFICIENTS = 6, LEFTS = 4, COMPUTED = 0 };

  static __device__ __forceinline__ void step(const Given<R> &g, u32 unit, bool on, const Steps<R> (&x)[PARTS],
                                              Steps<R> (&c)[COEFFICIENTS], Steps<R> (&next)[PARTS]) {
    if (!on) return;
    const u64 m = g.m, n = g.n;
    const R *hidden = g.transposed + 4 * n * m + unit;
    Steps<R> sums[4];
    set(sums, hidden + 4 * n * n, g.n);
    add_product(sums, g.transposed + unit, g.n, g.u, g.m);
    add_product(sums, hidden, g.n, g.x, g.n);
#pragma unroll
    for (u32 s = 0; s < GROUP; ++s) {
      const R i = logistic(sums[0].at[s]), f = logistic(sums[1].at[s]);
      const R fresh = hyperbolic_tangent(sums[2].at[s]), o = logistic(sums[3].at[s]);
      const R cell = fma(f, x[1].at[s], i * fresh), shown = hyperbolic_tangent(cell);
      next[0].at[s] = o * shown;
      next[1].at[s] = cell;
      c[0].at[s] = shown * of_logistic(o);
      c[1].at[s] = o * of_tanh(shown);
      c[2].at[s] = fresh * of_logistic(i);
      c[3].at[s] = x[1].at[s] * of_logistic(f);
      c[4].at[s] = i * of_tanh(fresh);
      c[5].at[s] = f;
    }
  }
};

template <class R> struct Lem {
  enum : int { PARTS = 2, COEFFICIENTS = 6, LEFTS = 4, COMPUTED = 1 };

  static __device__ __forceinline__ void step(const Given<R> &g, u32 unit, bool on, const Steps<R> (&x)[PARTS],
                                              Steps<R> (&c)[COEFFICIENTS], Steps<R> (&next)[PARTS]) {
    const u64 m = g.m, n = g.n;
    const R *bias = g.transposed + 4 * n * m + unit, *of_y = bias + 4 * n, *of_z = of_y + 3 * n * n + 3 * n;
    // Rows 1, 2, z, y of the input, and 1, 2, y of y.
    Steps<R> sums[4], y_sums[3], z_sums[1], rate[1];
    if (on) {
      set(sums, bias, g.n);
      add_product(sums, g.transposed + unit, g.n, g.u, g.m);
      set(y_sums, of_y + 3 * n * n, g.n);
      add_product(y_sums, of_y, g.n, g.x, g.n);
#pragma unroll
      for (u32 s = 0; s < GROUP; ++s) {
        const R z = x[1].at[s], rate_z = logistic(sums[1].at[s] + y_sums[1].at[s]);
        const R target = hyperbolic_tangent(sums[3].at[s] + y_sums[2].at[s]);
        rate[0].at[s] = logistic(sums[0].at[s] + y_sums[0].at[s]);
        next[1].at[s] = fma(rate_z * g.dt, target - z, z);
        c[3].at[s] = (target - z) * of_logistic(rate_z) * g.dt;
        c[4].at[s] = rate_z * g.dt * of_tanh(target);
        c[5].at[s] = R(1) - rate_z * g.dt;
      }
      g.exchange[unit] = next[1];
    }
    __syncthreads();
    if (!on) return;
    set(z_sums, of_z + n * n, g.n);
    add_product(z_sums, of_z, g.n, g.exchange, g.n);
#pragma unroll
    for (u32 s = 0; s < GROUP; ++s) {
      const R y = x[0].at[s], rate_y = rate[0].at[s], target = hyperbolic_tangent(sums[2].at[s] + z_sums[0].at[s]);
      next[0].at[s] = fma(rate_y * g.dt, target - y, y);
      c[0].at[s] = (target - y) * of_logistic(rate_y) * g.dt;
      c[1].at[s] = rate_y * g.dt * of_tanh(target);
      c[2].at[s] = R(1) - rate_y * g.dt;
    }
  }
};

// For `rows` steps of each block of the sweep its coefficients, [blocks, rows, COEFFICIENTS, n], and of its row of `width` factors the
// right ones: those that are computed, the first n numbers of the state before, the input. `groups` blocks of threads share a block's rows.
template <template <class> class Cell, class R>
INLINE void slopes(const Path &path, const Sweep &sweep, u64 rows, u64 groups, const R *transposed, u32 m, u32 n, double dt,
                   R *coefficients, R *factors, u64 width) {
  using Unit = Cell<R>;
  enum : int { PARTS = Unit::PARTS, COEFFICIENTS = Unit::COEFFICIENTS };
  __shared__ double warps[WARPS];
  Steps<R> *x = reinterpret_cast<Steps<R> *>(memory), *u = x + n, *exchange = u + m;
  const u64 i = blockIdx.x / groups, own = sweep.chosen ? sweep.chosen[i] : i;
  const u32 from = (u32)(blockIdx.x % groups) * GROUP;
  const Block block = sweep.blocks[own];
  const u32 count = from < block.len ? min(block.len - from, (u32)GROUP) : 0;
  if (count == 0) {
    if (sweep.first && threadIdx.x == 0) sweep.swept[blockIdx.x] = {0.0, 0.0};
    return;
  }
  const u64 state = (u64)n * PARTS;
  // The state before step t of the block.
  auto before = [&](u32 t) {
    const char *at = path.states + (block.state + t - 1) * path.state_bytes;
    if (t == 0 && block.flags & FIRST) at = path.initial + block.state / path.max_steps * path.state_bytes;
    return reinterpret_cast<const R *>(at);
  };
  const u64 kept = (u64)(Unit::LEFTS + Unit::COMPUTED) * n;
  for (u32 k = threadIdx.x; k < n * GROUP; k += blockDim.x) {
    const u32 s = k / n, j = k % n;
    const R value = s < count ? before(from + s)[j] : R(0);
    x[j].at[s] = value;
    if (s < count && factors) factors[(i * rows + from + s) * width + kept + j] = value;
  }
  for (u32 k = threadIdx.x; k < m * GROUP; k += blockDim.x) {
    const u32 s = k / m, j = k % m;
    const R *inputs = reinterpret_cast<const R *>(path.inputs) + (block.input + from + s) * m;
    const R value = s < count ? inputs[j] : R(0);
    u[j].at[s] = value;
    if (s < count && factors) factors[(i * rows + from + s) * width + kept + n + j] = value;
  }
  __syncthreads();
  const u32 unit = threadIdx.x;
  const bool on = unit < n;
  Steps<R> mine[PARTS], c[COEFFICIENTS], next[PARTS];
#pragma unroll
  for (int part = 0; part < PARTS; ++part) {
#pragma unroll
    for (u32 s = 0; s < GROUP; ++s) mine[part].at[s] = on && s < count ? before(from + s)[part * n + unit] : R(0);
  }
  Unit::step(Given<R>{transposed, m, n, R(dt), x, u, exchange}, unit, on, mine, c, next);
  double difference = 0.0, magnitude = 0.0;
  if (on) {
#pragma unroll
    for (u32 s = 0; s < GROUP; ++s) {
      if (s >= count) break;
      const u64 row = i * rows + from + s;
#pragma unroll
      for (int k = 0; k < COEFFICIENTS; ++k) coefficients[(row * COEFFICIENTS + k) * n + unit] = c[k].at[s];
      if (Unit::COMPUTED && factors) factors[row * width + (u64)Unit::LEFTS * n + unit] = next[PARTS - 1].at[s];
      const R *stored = reinterpret_cast<const R *>(path.states) + (block.state + from + s) * state + unit;
#pragma unroll
      for (int part = 0; part < PARTS; ++part) {
        const R there = stored[part * n];
        difference += (double)fabs(next[part].at[s] - there);
        magnitude += (double)fabs(there);
      }
    }
  }
  if (!sweep.first) return;
  difference = sum_in_all(difference, warps);
  magnitude = sum_in_all(magnitude, warps);
  if (threadIdx.x == 0) sweep.swept[blockIdx.x] = {difference, magnitude};
}

#define KERNEL(CELL, NAME, R, PRECISION) \
  extern "C" __global__ void __launch_bounds__(LARGEST, 1) slopes_##NAME##_##PRECISION( \
      Path path, Sweep sweep, u64 rows, u64 groups, const R *transposed, u32 m, u32 n, double dt, R *coefficients, R *factors, \
      u64 width) { \
    slopes<CELL, R>(path, sweep, rows, groups, transposed, m, n, dt, coefficients, factors, width); \
  }
#define PRECISIONS(CELL, NAME) \
  KERNEL(CELL, NAME, float, f32) \
  KERNEL(CELL, NAME, double, f64)
PRECISIONS(Elman, elman)
PRECISIONS(Gru, gru)
PRECISIONS(Lstm, lstm)
PRECISIONS(Lem, lem)
