// The built-in cells, a unit in each thread: of up to 32 units with a warp for each block of time, of more with a block of threads.
//
// A thread of a warp has its rows of the weights of the state, in registers where they fit and else in shared memory; one of a block of
// threads reads them in each step, from transposed matrices, for neighbours to read beside each other. The state goes round through
// shared memory. What a step needs of its input is there before the state is.
#include "math/exponential.cuh"
#include "task.cuh"

enum : int { THREADS = 128, WARPS = THREADS / 32 };
// Units of the largest cell.
enum : int { LARGEST = 512 };

// The threads that share a block of time.
struct Warp {
  enum : int { TEAMS = WARPS, TRANSPOSED = 0 };
  static __device__ __forceinline__ int lane() { return threadIdx.x % 32; }
  static __device__ __forceinline__ int number() { return threadIdx.x / 32; }
  static __device__ __forceinline__ void wait() { __syncwarp(); }
  static __device__ __forceinline__ bool all(bool holds) { return in_all_lanes(holds); }
};
struct Threads {
  enum : int { TEAMS = 1, TRANSPOSED = 1 };
  static __device__ __forceinline__ int lane() { return threadIdx.x; }
  static __device__ __forceinline__ int number() { return 0; }
  static __device__ __forceinline__ void wait() { __syncthreads(); }
  static __device__ __forceinline__ bool all(bool holds) { return __syncthreads_and(holds); }
};
// Those of a cell of up to N units, or of any number if N is 0.
template <int N> struct TeamOf { typedef Warp Type; };
template <> struct TeamOf<0> { typedef Threads Type; };

// The rows of a lane in a matrix [ROWS · n, n], for up to N units.
template <class R, int N, int ROWS> struct Rows {
  enum : int { HELD = sizeof(R) * N * ROWS <= 512, ENTRIES = HELD ? N : 1, SHARED = HELD ? 1 : N * ROWS * 32 };
  R held[ROWS][ENTRIES];
  const R *shared;

  // Read by the whole block, which waits for each other.
  __device__ __forceinline__ void load(const R *matrix, int n, R *memory) {
    const int lane = threadIdx.x % 32;
    shared = memory + lane;
    if (HELD) {
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
#pragma unroll
        for (int j = 0; j < N; ++j) held[r][j % ENTRIES] = lane < n && j < n ? matrix[(r * n + lane) * n + j] : R(0);
      }
    } else {
      for (int i = threadIdx.x / 32; i < ROWS * N; i += WARPS) {
        const int r = i % ROWS, j = i / ROWS;
        memory[i * 32 + lane] = lane < n && j < n ? matrix[(r * n + lane) * n + j] : R(0);
      }
    }
    __syncthreads();
  }

  // sums += rows · x, x in shared memory. Two sums for each row, so that they wait less for each other.
  __device__ __forceinline__ void add_product(R (&sums)[ROWS], const R *x) const {
    R odd[ROWS] = {};
#pragma unroll
    for (int j = 0; j < N; j += 2) {
      const R even_x = x[j], odd_x = x[j + 1];
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        sums[r] = fma(HELD ? held[r][j % ENTRIES] : shared[(j * ROWS + r) * 32], even_x, sums[r]);
        odd[r] = fma(HELD ? held[r][(j + 1) % ENTRIES] : shared[((j + 1) * ROWS + r) * 32], odd_x, odd[r]);
      }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) sums[r] = sums[r] + odd[r];
  }
};

// Those in a transposed matrix, [n, ROWS · n], in memory.
template <class R, int ROWS> struct Rows<R, 0, ROWS> {
  enum : int { SHARED = 1 };
  const R *column;
  int n;

  __device__ __forceinline__ void load(const R *transposed, int units, R *) {
    n = units;
    // Those without a unit read along.
    column = transposed + min(int(threadIdx.x), n - 1);
  }

  __device__ __forceinline__ void add_product(R (&sums)[ROWS], const R *x) const {
#pragma unroll 4
    for (int j = 0; j < n; ++j) {
#pragma unroll
      for (int r = 0; r < ROWS; ++r) sums[r] = fma(column[(u64(j) * ROWS + r) * n], x[j], sums[r]);
    }
  }
};

// bias + rows of W, [ROWS · n, m], times u; with TRANSPOSED of W as [m, ROWS · n].
template <int TRANSPOSED, class R, int ROWS>
INLINE void input_sums(R (&sums)[ROWS], const R *weights, const R *bias, const R *u, int m, int n, int lane) {
  const bool on = lane < n;
#pragma unroll
  for (int r = 0; r < ROWS; ++r) sums[r] = on ? bias[r * n + lane] : R(0);
  if (!on) return;
#pragma unroll 1
  for (int k = 0; k < m; ++k) {
    const R input = u[k];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) sums[r] = fma(weights[TRANSPOSED ? (u64(k) * ROWS + r) * n + lane : u64(r * n + lane) * m + k], input, sums[r]);
  }
}

// Cells: PARTS numbers of the state in a unit, ROWS sums of the input, PUBLIC states that all units read, and
//   load(params, m, n, memory)   reads the weights, with MEMORY numbers of shared memory for the block
//   bias(params, m, n)           where the biases of the input's sums are; its weights are first
//   step(x, sums, shared, width, dt)  one step of the unit; shared is [PUBLIC, width], and the first is all units' x[0] of before
template <class R, int N> struct Elman {
  enum : int { PARTS = 1, ROWS = 1, PUBLIC = 1, MEMORY = Rows<R, N, 1>::SHARED };
  Rows<R, N, 1> hidden;

  __device__ __forceinline__ void load(const R *params, int m, int n, R *memory) { hidden.load(params + n * m, n, memory); }
  __device__ __forceinline__ const R *bias(const R *params, int m, int n) const { return params + n * m + n * n; }
  __device__ __forceinline__ void step(R (&x)[PARTS], R (&sums)[ROWS], R *shared, int, R) {
    hidden.add_product(sums, shared);
    x[0] = hyperbolic_tangent(sums[0]);
  }
};

template <class R, int N> struct Gru {
  enum : int { PARTS = 1, ROWS = 3, PUBLIC = 1, MEMORY = Rows<R, N, 3>::SHARED };
  Rows<R, N, 3> hidden;
  R bias_n;

  __device__ __forceinline__ void load(const R *params, int m, int n, R *memory) {
    const int lane = TeamOf<N>::Type::lane();
    hidden.load(params + 3 * n * m, n, memory);
    bias_n = lane < n ? bias(params, m, n)[3 * n + lane] : R(0);
  }
  __device__ __forceinline__ const R *bias(const R *params, int m, int n) const { return params + 3 * n * m + 3 * n * n; }
  __device__ __forceinline__ void step(R (&x)[PARTS], R (&sums)[ROWS], R *shared, int, R) {
    const R input_n = sums[2];
    sums[2] = bias_n;
    hidden.add_product(sums, shared);
    const R r = logistic(sums[0]), z = logistic(sums[1]);
    const R n = hyperbolic_tangent(fma(r, sums[2], input_n));
    x[0] = fma(z, x[0] - n, n);
  }
};

template <class R, int N> struct Lstm {
  enum : int { PARTS = 2, ROWS = 4, PUBLIC = 1, MEMORY = Rows<R, N, 4>::SHARED };
  Rows<R, N, 4> hidden;

  __device__ __forceinline__ void load(const R *params, int m, int n, R *memory) { hidden.load(params + 4 * n * m, n, memory); }
  __device__ __forceinline__ const R *bias(const R *params, int m, int n) const { return params + 4 * n * m + 4 * n * n; }
  __device__ __forceinline__ void step(R (&x)[PARTS], R (&sums)[ROWS], R *shared, int, R) {
    hidden.add_product(sums, shared);
    const R i = logistic(sums[0]), f = logistic(sums[1]), g = hyperbolic_tangent(sums[2]), o = logistic(sums[3]);
    x[1] = fma(f, x[1], i * g);
    x[0] = o * hyperbolic_tangent(x[1]);
  }
};

template <class R, int N> struct Lem {
  enum : int { PARTS = 2, ROWS = 4, PUBLIC = 2, MEMORY = Rows<R, N, 3>::SHARED + Rows<R, N, 1>::SHARED };
  Rows<R, N, 3> of_y;
  Rows<R, N, 1> of_z;
  R bias_y[3], bias_z;

  __device__ __forceinline__ void load(const R *params, int m, int n, R *memory) {
    const int lane = TeamOf<N>::Type::lane();
    const R *rest = bias(params, m, n) + 4 * n;
    of_y.load(rest, n, memory);
    rest += 3 * n * n;
#pragma unroll
    for (int r = 0; r < 3; ++r) bias_y[r] = lane < n ? rest[r * n + lane] : R(0);
    rest += 3 * n;
    of_z.load(rest, n, memory + Rows<R, N, 3>::SHARED);
    bias_z = lane < n ? rest[n * n + lane] : R(0);
  }
  __device__ __forceinline__ const R *bias(const R *params, int m, int n) const { return params + 4 * n * m; }
  __device__ __forceinline__ void step(R (&x)[PARTS], R (&sums)[ROWS], R *shared, int width, R dt) {
    R y_sums[3] = {bias_y[0], bias_y[1], bias_y[2]};
    of_y.add_product(y_sums, shared);
    const R rate_y = logistic(sums[0] + y_sums[0]), rate_z = logistic(sums[1] + y_sums[1]);
    x[1] = fma(rate_z * dt, hyperbolic_tangent(sums[3] + y_sums[2]) - x[1], x[1]);
    R *next_z = shared + width;
    if (TeamOf<N>::Type::lane() < width) next_z[TeamOf<N>::Type::lane()] = x[1];
    TeamOf<N>::Type::wait();
    R z_sums[1] = {bias_z};
    of_z.add_product(z_sums, next_z);
    x[0] = fma(rate_y * dt, hyperbolic_tangent(sums[2] + z_sums[0]) - x[0], x[0]);
  }
};

// Rolls the blocks of the task. `params` are the cell's, m its inputs, n its units.
template <template <class, int> class Cell, class R, int N>
INLINE void run(const Arguments &a, const Block *blocks, u64 count, const Task<R> &task, const R *params, u32 m, u32 n, double dt) {
  using Unit = Cell<R, N>;
  using Team = typename TeamOf<N>::Type;
  enum : int { MOST = N ? N : LARGEST };
  __shared__ R memory[Unit::MEMORY];
  __shared__ R states[Team::TEAMS][Unit::PUBLIC * MOST];
  const int lane = Team::lane(), units = int(n);
  const u64 first = u64(blockIdx.x) * Team::TEAMS, i = first + Team::number();
  bool any = false;
  for (u64 other = first; other < first + Team::TEAMS && other < count; ++other) any = any || task.includes(other);
  if (!any) return;
  Unit unit;
  unit.load(params, int(m), units, memory);
  if (i >= count || !task.includes(i)) return;
  const Block block = blocks[i];
  const R *bias = unit.bias(params, int(m), units);
  const R *u = reinterpret_cast<const R *>(a.inputs) + block.input * m;
  R *out = reinterpret_cast<R *>(a.states) + block.state * n * Unit::PARTS;
  R *shared = states[Team::number()];

  R x[Unit::PARTS], size[Unit::PARTS] = {};
#pragma unroll
  for (int part = 0; part < Unit::PARTS; ++part) {
    const u64 place = (i * Unit::PARTS + part) * n + lane;
    x[part] = lane < units ? task.starts[place] : R(0);
    if (task.started && lane < units) task.started[place] = x[part];
  }
  R sums[Unit::ROWS];
  input_sums<Team::TRANSPOSED>(sums, params, bias, u, int(m), units, lane);
  u32 t = 0;
#pragma unroll 1
  while (t < block.len) {
    Team::wait();
    if (lane < MOST) shared[lane] = x[0];
    Team::wait();
    R next[Unit::ROWS];
    u += m;
    if (t + 1 < block.len) input_sums<Team::TRANSPOSED>(next, params, bias, u, int(m), units, lane);
    unit.step(x, sums, shared, MOST, R(dt));
    ++t;
    if (task.merge) {
      Agreement<R> agreement(a.atol, a.rtol);
#pragma unroll
      for (int part = 0; part < Unit::PARTS; ++part) {
        size[part] = max(t % TILE == 1 ? R(0) : size[part], fabs(x[part]));
        if (t % TILE == 0 && lane < units) agreement.look(x[part], out[part * n + lane], size[part]);
      }
      if (t % TILE == 0) {
        if (t < block.len && Team::all(agreement.within)) {
          task.note(i, agreement.largest);
          break;
        }
      }
    }
#pragma unroll
    for (int part = 0; part < Unit::PARTS; ++part)
      if (lane < units) out[part * n + lane] = x[part];
    out += n * Unit::PARTS;
#pragma unroll
    for (int r = 0; r < Unit::ROWS; ++r) sums[r] = next[r];
  }
  if (lane == 0) task.count(i, t);
}

#define KERNEL(CELL, NAME, R, PRECISION, N) \
  extern "C" __global__ void __launch_bounds__(THREADS) run_##NAME##_##N##_##PRECISION( \
      Arguments a, const Block *blocks, u64 count, Task<R> task, const R *params, u32 m, u32 n, double dt) { \
    run<CELL, R, N>(a, blocks, count, task, params, m, n, dt); \
  }
#define SIZES(CELL, NAME) \
  KERNEL(CELL, NAME, float, f32, 16) \
  KERNEL(CELL, NAME, float, f32, 32) \
  KERNEL(CELL, NAME, double, f64, 16) \
  KERNEL(CELL, NAME, double, f64, 32)
#define ANY(CELL, NAME, R, PRECISION) \
  extern "C" __global__ void __launch_bounds__(LARGEST, 1) run_any_##NAME##_##PRECISION( \
      Arguments a, const Block *blocks, u64 count, Task<R> task, const R *transposed, u32 m, u32 n, double dt) { \
    run<CELL, R, 0>(a, blocks, count, task, transposed, m, n, dt); \
  }
ANY(Elman, elman, float, f32)
ANY(Elman, elman, double, f64)
ANY(Gru, gru, float, f32)
ANY(Gru, gru, double, f64)
ANY(Lstm, lstm, float, f32)
ANY(Lstm, lstm, double, f64)
ANY(Lem, lem, float, f32)
ANY(Lem, lem, double, f64)
SIZES(Elman, elman)
SIZES(Gru, gru)
SIZES(Lstm, lstm)
SIZES(Lem, lem)
