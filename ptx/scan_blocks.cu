// Scans of affine maps with dense matrices, or k × k blocks along a diagonal, 2 <= k <= 32: reduce, then scan.
//
// An element is [n/k blocks k × k row-major, b n]; each block of the matrix with its part of b is a sequence of its own. The steps
// are cut into chunks. `reduce` folds each chunk into one element, the host scans these (with the same kernels), and `scan` goes
// through each chunk again from the result before it. The order of every combination follows from the sizes alone.
//
// A team of K lanes, K the power of two from k on, does one chunk of one block. The element lies in shared memory, and the next one
// is on its way. An element is appended, S ∘ e = (A_e A_S, A_e b_S + b_e): lane c has column c of A_S; or it is prepended,
// e ∘ S = (A_S A_e, A_S b_e + b_S): lane r has row r of A_S. Component `lane` of b_S is with it too. Columns from k on are zero and stay it.
#include "device.cuh"

// Where the elements of a batch of sequences lie, [sequences, steps, width].
struct Layout {
  u64 steps, chunk;  // in elements
  u32 n, k, sequences;
  u32 backwards;  // whether the steps are gone through from the last to the first
};

// Sixteen bytes of shared memory, read or written at once. In assembly: the compiler takes such a type apart, and how it puts the parts
// of a large kernel together again varies from run to run.
template <class R> struct Wide {
  enum : int { COUNT = 16 / sizeof(R) };
  R x[COUNT];
};
INLINE u32 address(const void *shared) { return u32(__cvta_generic_to_shared(shared)); }
INLINE Wide<float> wide(const float *from) {
  Wide<float> v;
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x[0]), "=f"(v.x[1]), "=f"(v.x[2]), "=f"(v.x[3]) : "r"(address(from)) : "memory");
  return v;
}
INLINE Wide<double> wide(const double *from) {
  Wide<double> v;
  asm volatile("ld.shared.v2.f64 {%0, %1}, [%2];" : "=d"(v.x[0]), "=d"(v.x[1]) : "r"(address(from)) : "memory");
  return v;
}
INLINE void put(float *to, const Wide<float> &v) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(address(to)), "f"(v.x[0]), "f"(v.x[1]), "f"(v.x[2]), "f"(v.x[3]) : "memory");
}
INLINE void put(double *to, const Wide<double> &v) {
  asm volatile("st.shared.v2.f64 [%0], {%1, %2};" ::"r"(address(to)), "d"(v.x[0]), "d"(v.x[1]) : "memory");
}

// One row on. Opaque, so that the compiler does not keep a product with k for every row.
template <class T> INLINE T *next_row(T *row, int k) {
  row += k;
  asm("" : "+l"(row));
  return row;
}

template <class R, int K> struct Team {
  enum : int {
    THREADS = sizeof(R) * K > 128 ? 64 : 128,
    TEAMS = THREADS / K,
    WIDE = Wide<R>::COUNT,
    // Numbers in a row of shared memory; a multiple of what is read at once.
    LINE = K < WIDE ? WIDE : K,
    // Between rows: lanes that read a row each meet in no bank.
    PITCH = LINE + WIDE,
    SHARED = 2 * K * PITCH + 2 * LINE,
    // Whether there are registers for the next element while one is joined.
    AHEAD = sizeof(R) * K <= 128,
  };

  int lane, k, chunk_len;
  bool on, active;                        // whether there is a chunk for the team, and a row and column for the lane
  u64 width, block_matrix, block_offset;  // of the element, and of the block in it
  u64 first, chunk;                       // index of the chunk's first element in the batch, and of the chunk
  u64 chunk_in_sequence, chunks;
  R *element, *element_b, *result, *offsets;
  R line[LINE];  // column or row of A_S
  R b;
  R coming[K + 1];

  __device__ __forceinline__ Team(const Layout &layout, R *shared) {
    lane = threadIdx.x % K;
    k = int(layout.k);
    element = shared + threadIdx.x / K * SHARED;
    result = element + K * PITCH;
    element_b = result + K * PITCH;
    offsets = element_b + LINE;
    for (int i = lane; i < SHARED; i += K) element[i] = R(0);
    b = R(0);
#pragma unroll
    for (int i = 0; i < LINE; ++i) line[i] = R(0);
    const u32 blocks = layout.n / layout.k;
    chunks = (layout.steps + layout.chunk - 1) / layout.chunk;
    const u64 team = u64(blockIdx.x) * TEAMS + threadIdx.x / K;
    on = team < chunks * layout.sequences * blocks;
    active = on && lane < k;
    const u64 block = team % blocks;
    chunk = on ? team / blocks : 0;
    chunk_in_sequence = chunk % chunks;
    const u64 begin = chunk_in_sequence * layout.chunk;
    chunk_len = !on ? 0 : layout.steps - begin < layout.chunk ? int(layout.steps - begin) : int(layout.chunk);
    first = chunk / chunks * layout.steps + begin;
    width = u64(layout.n) * (k + 1);
    block_matrix = block * k * k + lane;
    block_offset = u64(layout.n) * k + block * k + lane;
  }

  // The element of the chunk that is number t on the way through it, by its index in the batch.
  __device__ __forceinline__ u64 index(const Layout &layout, int t) const {
    return first + (layout.backwards ? chunk_len - 1 - t : t);
  }

  // Steps that the longest team of the warp makes: its lanes go together.
  __device__ __forceinline__ int rounds() const {
    int most = chunk_len;
#pragma unroll
    for (int d = K; d < 32; d *= 2) {
      const int other = __shfl_xor_sync(ALL, most, d);
      most = other > most ? other : most;
    }
    return most;
  }

  // Asks for an element, by its index in the batch.
  __device__ __forceinline__ void fetch(const R *elements, u64 index, bool there) {
    if (!there || !active) return;
    const R *from = elements + index * width, *row = from + block_matrix;
#pragma unroll
    for (int i = 0; i < K; ++i) {
      if (i < k) coming[i] = *row;
      row = next_row(row, k);
    }
    coming[K] = from[block_offset];
  }

  // Puts the element that was asked for into shared memory, and b_S beside it.
  __device__ __forceinline__ void deposit() {
    __syncwarp();
    if (active) {
#pragma unroll
      for (int i = 0; i < K; ++i)
        if (i < k) element[i * PITCH + lane] = coming[i];
      element_b[lane] = coming[K];
      offsets[lane] = b;
    }
    __syncwarp();
  }

  // line = the row of the lane.
  __device__ __forceinline__ void read_row(const R *matrix) {
#pragma unroll
    for (int i = 0; i < LINE; i += WIDE) {
      const Wide<R> x = wide(matrix + lane * PITCH + i);
#pragma unroll
      for (int w = 0; w < WIDE; ++w) line[i + w] = x.x[w];
    }
  }

  // line = the column of the lane.
  __device__ __forceinline__ void read_column(const R *matrix) {
#pragma unroll
    for (int i = 0; i < K; ++i) line[i] = matrix[i * PITCH + lane];
  }

  // S = e.
  template <bool PREPEND> __device__ __forceinline__ void begin() {
    if (!active) return;
    b = element_b[lane];
    if (PREPEND) {
      read_row(element);
#pragma unroll
      for (int i = 0; i < LINE; i += WIDE) put(result + lane * PITCH + i, wide(element + lane * PITCH + i));
    } else {
      read_column(element);
    }
  }

  // S = S ∘ e, or e ∘ S.
  template <bool PREPEND> __device__ __forceinline__ void join() {
    if (!active) return;
    if (PREPEND) {
#pragma unroll
      for (int i = 0; i < LINE; i += WIDE) {
        const Wide<R> x = wide(element_b + i);
#pragma unroll
        for (int w = 0; w < WIDE; ++w) b = fma(line[i + w], x.x[w], b);
      }
#pragma unroll 1
      for (int j = 0; j < k; j += WIDE) {
        Wide<R> entries = {};
#pragma unroll
        for (int i = 0; i < K; ++i) {
          const Wide<R> x = wide(element + i * PITCH + j);
#pragma unroll
          for (int w = 0; w < WIDE; ++w) entries.x[w] = i == 0 ? line[0] * x.x[w] : fma(line[i], x.x[w], entries.x[w]);
        }
        // What is past the row stays zero, whatever S holds.
#pragma unroll
        for (int w = 1; w < WIDE; ++w) entries.x[w] = j + w < k ? entries.x[w] : R(0);
        put(result + lane * PITCH + j, entries);
      }
      read_row(result);
    } else {
      b = element_b[lane];
#pragma unroll
      for (int i = 0; i < LINE; i += WIDE) {
        const Wide<R> x = wide(element + lane * PITCH + i), y = wide(offsets + i);
#pragma unroll
        for (int w = 0; w < WIDE; ++w) b = fma(x.x[w], y.x[w], b);
      }
#pragma unroll 1
      for (int j = 0; j < k; ++j) {
        R entry = R(0);
#pragma unroll
        for (int i = 0; i < LINE; i += WIDE) {
          const Wide<R> x = wide(element + j * PITCH + i);
#pragma unroll
          for (int w = 0; w < WIDE; ++w) entry = i + w == 0 ? x.x[0] * line[0] : fma(x.x[w], line[i + w], entry);
        }
        result[j * PITCH + lane] = entry;
      }
      read_column(result);
    }
  }

  // Writes S to an element of the batch.
  template <bool PREPEND> __device__ __forceinline__ void store(R *elements, u64 index, bool there) {
    if (PREPEND) __syncwarp();
    if (!there || !active) return;
    R *to = elements + index * width, *row = to + block_matrix;
#pragma unroll
    for (int i = 0; i < K; ++i) {
      if (i < k) *row = PREPEND ? result[i * PITCH + lane] : line[i];
      row = next_row(row, k);
    }
    to[block_offset] = b;
  }
};

// totals[chunk] = the fold of each chunk of `in`, [sequences, chunks, width]: each element appended to those before it, or, backwards,
// to those after it.
template <class R, int K> INLINE void reduce(const R *in, R *totals, const Layout &layout) {
  __shared__ __align__(16) R shared[Team<R, K>::TEAMS * Team<R, K>::SHARED];
  Team<R, K> team(layout, shared);
  const int rounds = team.rounds();
  auto index = [&](int t) { return team.index(layout, t); };
  if (team.AHEAD) team.fetch(in, index(0), team.chunk_len > 0);
#pragma unroll 1
  for (int t = 0; t < rounds; ++t) {
    if (!team.AHEAD) team.fetch(in, index(t), t < team.chunk_len);
    team.deposit();
    if (team.AHEAD) team.fetch(in, index(t + 1), t + 1 < team.chunk_len);
    if (t == 0) team.template begin<false>();
    else if (t < team.chunk_len) team.template join<false>();
  }
  team.template store<false>(totals, team.chunk, team.on);
}

// Each chunk of `elements` scanned in place. `prefixes` are the scanned totals, [sequences, chunks, width]; a null pointer where there is
// one chunk only.
template <class R, int K, bool PREPEND> INLINE void scan(R *elements, const R *prefixes, const Layout &layout) {
  __shared__ __align__(16) R shared[Team<R, K>::TEAMS * Team<R, K>::SHARED];
  Team<R, K> team(layout, shared);
  const int rounds = team.rounds();
  const bool preceded = team.on && (layout.backwards ? team.chunk_in_sequence + 1 < team.chunks : team.chunk_in_sequence > 0);
  if (prefixes) {
    team.fetch(prefixes, layout.backwards ? team.chunk + 1 : team.chunk - 1, preceded);
    team.deposit();
    if (preceded) team.template begin<PREPEND>();
  }
  auto index = [&](int t) { return team.index(layout, t); };
  if (team.AHEAD) team.fetch(elements, index(0), team.chunk_len > 0);
#pragma unroll 1
  for (int t = 0; t < rounds; ++t) {
    if (!team.AHEAD) team.fetch(elements, index(t), t < team.chunk_len);
    team.deposit();
    if (team.AHEAD) team.fetch(elements, index(t + 1), t + 1 < team.chunk_len);
    if (t == 0 && !preceded) team.template begin<PREPEND>();
    else if (t < team.chunk_len) team.template join<PREPEND>();
    team.template store<PREPEND>(elements, index(t), t < team.chunk_len);
  }
}

#define KERNELS(PRECISION, R, K) \
  extern "C" __global__ void __launch_bounds__((Team<R, K>::THREADS)) reduce_blocks_##K##_##PRECISION(const R *in, R *totals, Layout layout) { \
    reduce<R, K>(in, totals, layout); \
  } \
  extern "C" __global__ void __launch_bounds__((Team<R, K>::THREADS)) \
      scan_blocks_##K##_append_##PRECISION(R *elements, const R *prefixes, Layout layout) { \
    scan<R, K, false>(elements, prefixes, layout); \
  } \
  extern "C" __global__ void __launch_bounds__((Team<R, K>::THREADS)) \
      scan_blocks_##K##_prepend_##PRECISION(R *elements, const R *prefixes, Layout layout) { \
    scan<R, K, true>(elements, prefixes, layout); \
  }
#define SIZES(PRECISION, R) \
  KERNELS(PRECISION, R, 2) \
  KERNELS(PRECISION, R, 4) \
  KERNELS(PRECISION, R, 8) \
  KERNELS(PRECISION, R, 16) \
  KERNELS(PRECISION, R, 32)
SIZES(f32, float)
SIZES(f64, double)
