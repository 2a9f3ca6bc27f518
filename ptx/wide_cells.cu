// The built-in cells of 33 to 128 units: a block of threads for each block of time, a row of the weights of the state in the
// registers of each thread.
//
// The state goes round through shared memory, in two copies that take turns. What a step needs of its input is there before the
// state is. The threads of the last row of each unit have its state.
#include "math/exponential.cuh"
#include "task.cuh"

// A row of the weights of up to N units.
template <class R, int N> struct Row {
  R held[N];

  __device__ __forceinline__ void load(const R *row, int n, bool on) {
#pragma unroll
    for (int j = 0; j < N; ++j) held[j] = on && j < n ? row[j] : R(0);
  }

  // In four sums, so that they wait less for each other.
  __device__ __forceinline__ R product(const R *x) const {
    R sums[4] = {};
#pragma unroll
    for (int j = 0; j < N; j += 4) {
#pragma unroll
      for (int k = 0; k < 4; ++k) sums[k] = fma(held[j + k], x[j + k], sums[k]);
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
};

// Cells: PARTS numbers of the state in a unit, ROWS rows of weights, EXTRA biases a unit after those of the rows, and
//   gate(row, input, hidden)                what the thread of a row but the last shows to that of the last
//   step(x, input, hidden, extra, gates, n) one step of the unit by the thread of its last row; gates[row · n] are those of the others
template <class R> struct Elman {
  enum : int { PARTS = 1, ROWS = 1, EXTRA = 0 };
  static __device__ __forceinline__ R gate(int, R, R) { return R(0); }
  static __device__ __forceinline__ void step(R (&x)[PARTS], R input, R hidden, R, const R *, int) { x[0] = hyperbolic_tangent(input + hidden); }
};

template <class R> struct Gru {
  enum : int { PARTS = 1, ROWS = 3, EXTRA = 1 };
  static __device__ __forceinline__ R gate(int, R input, R hidden) { return logistic(input + hidden); }
  static __device__ __forceinline__ void step(R (&x)[PARTS], R input, R hidden, R extra, const R *gates, int n) {
    const R fresh = hyperbolic_tangent(fma(gates[0], hidden + extra, input));
    x[0] = fma(gates[n], x[0] - fresh, fresh);
  }
};

template <class R> struct Lstm {
  enum : int { PARTS = 2, ROWS = 4, EXTRA = 0 };
  static __device__ __forceinline__ R gate(int row, R input, R hidden) {
    return row == 2 ? hyperbolic_tangent(input + hidden) : logistic(input + hidden);
  }
  static __device__ __forceinline__ void step(R (&x)[PARTS], R input, R hidden, R, const R *gates, int n) {
    x[1] = fma(gates[n], x[1], gates[0] * gates[2 * n]);
    x[0] = logistic(input + hidden) * hyperbolic_tangent(x[1]);
  }
};

// Rolls the blocks of the task. `params` are the cell's: weights of the input [ROWS · n, m], of the state [ROWS · n, n],
// biases [(ROWS + EXTRA) · n]. One block of threads for each.
template <template <class> class Cell, class R, int N>
INLINE void run(const Arguments &a, const Block *blocks, const Task<R> &task, const R *params, int m, int n) {
  using Unit = Cell<R>;
  enum : int { PARTS = Unit::PARTS, ROWS = Unit::ROWS, LAST = ROWS - 1 };
  __shared__ __align__(16) R state[2][N];
  __shared__ R gates[ROWS > 1 ? LAST * N : 1];
  // How large the state of each unit lately was: of no one but its thread.
  __shared__ R sizes[PARTS][N];
  if (!task.includes(blockIdx.x)) return;
  const int id = threadIdx.x, row = id / n, unit = id % n;
  const bool on = row < ROWS, last = row == LAST;
  const Block block = blocks[blockIdx.x];
  const R *weights = params + u64(on ? id : 0) * m, *bias = params + u64(ROWS) * n * (m + n);
  Row<R, N> hidden;
  hidden.load(params + u64(ROWS) * n * m + u64(id) * n, n, on);
  const R own = on ? bias[id] : R(0), extra = last && Unit::EXTRA ? bias[ROWS * n + unit] : R(0);
  const R *u = reinterpret_cast<const R *>(a.inputs) + block.input * m;
  R *out = reinterpret_cast<R *>(a.states) + block.state * n * PARTS;

  auto input = [&] {
    R sum = own;
#pragma unroll 1
    for (int k = 0; k < m; ++k) sum = fma(weights[k], u[k], sum);
    return sum;
  };
  for (int j = id; j < 2 * N; j += blockDim.x) state[j / N][j % N] = R(0);
  __syncthreads();
  R x[PARTS] = {};
  if (last) {
#pragma unroll
    for (int part = 0; part < PARTS; ++part) {
      const u64 place = (u64(blockIdx.x) * PARTS + part) * n + unit;
      x[part] = task.starts[place];
      if (task.started) task.started[place] = x[part];
    }
    state[0][unit] = x[0];
  }
  R now = block.len > 0 ? input() : R(0);
  __syncthreads();
  u32 t = 0;
#pragma unroll 1
  while (t < block.len) {
    u += m;
    R next = R(0);
    if (t + 1 < block.len) next = input();
    const R product = hidden.product(state[t % 2]);
    if constexpr (ROWS > 1) {
      if (on && !last) gates[id] = Unit::gate(row, now, product);
      __syncthreads();
    }
    ++t;
    if (last) {
      Unit::step(x, now, product, extra, gates + unit, n);
      state[t % 2][unit] = x[0];
    }
    if (task.merge) {
      Agreement<R> agreement(a.atol, a.rtol);
#pragma unroll
      for (int part = 0; part < PARTS; ++part) {
        if (!last) break;
        R &size = sizes[part][unit];
        size = max(t % TILE == 1 ? R(0) : size, fabs(x[part]));
        if (t % TILE == 0) agreement.look(x[part], out[part * n + unit], size);
      }
      if (t % TILE == 0) {
        if (__syncthreads_and(agreement.within) && t < block.len) {
          task.note(blockIdx.x, agreement.largest);
          break;
        }
      }
    }
    if (last) {
#pragma unroll
      for (int part = 0; part < PARTS; ++part) out[part * n + unit] = x[part];
    }
    __syncthreads();
    out += n * PARTS;
    now = next;
  }
  if (id == 0) task.count(blockIdx.x, t);
}

#define KERNEL(CELL, NAME, R, PRECISION, N) \
  extern "C" __global__ void __launch_bounds__(CELL<R>::ROWS * N) run_wide_##NAME##_##N##_##PRECISION( \
      Arguments a, const Block *blocks, Task<R> task, const R *params, u32 m, u32 n) { \
    run<CELL, R, N>(a, blocks, task, params, int(m), int(n)); \
  }
KERNEL(Elman, elman, float, f32, 64)
KERNEL(Elman, elman, double, f64, 64)
KERNEL(Elman, elman, float, f32, 128)
KERNEL(Gru, gru, float, f32, 64)
KERNEL(Gru, gru, double, f64, 64)
KERNEL(Gru, gru, float, f32, 128)
KERNEL(Lstm, lstm, float, f32, 64)
KERNEL(Lstm, lstm, double, f64, 64)
