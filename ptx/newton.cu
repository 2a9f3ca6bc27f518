// A sweep of Newton's method over the chunks of all sequences in one launch: what the last sweep left to replay, linearisation, the
// scan of the chunks' affine maps, and where they take the starts of the chunks. No map of a chunk leaves its block of threads.
//
// These are templates, as sweeps.cu is. A tile is ROWS chunks; thread (row, group) has some of the columns of a chunk's map. A state that
// falls into parts is swept LANES parts at a time, as if each were a state. Blocks of more than 8 components have room for 12, 16, 24 or 32.
//
// The scan is a single pass with decoupled look-back. Maps of a tile are joined two and two, as the leaves of a tree, and the change of
// a chunk's start is what comes down the tree to its leaf. A tile publishes its total. What is before it are the totals before it in its group
// of tiles, joined, after what the last tile of the group before has published: the change that comes out of all tiles up to there.
// Every combination so follows from the numbers of chunks alone: the same bits in every run.
//
// Tiles take their numbers from a counter, so that those before one have begun. Flags hold the number of the sweep that set them last.
#include "maps.cuh"
#include "sweeps.cuh"

// A map's columns in shared memory, where its first entry is at `to`.
#define SHARE_COLUMNS(to, group, columns) \
    asm volatile("@share_columns %0 %1 %2;" ::"l"(to), "r"(group), "r"(columns) : "memory")
// x - state at `at`, in shared memory at `to`
#define SHARE_CHANGE(to, at) asm volatile("@share_change %0 %1;" ::"l"(to), "l"(at) : "memory")
// The state at `old` and the change in shared memory, where that is finite; else the state at `end`; else the one at `old`.
#define MOVE_START(to, old, change, end) \
    asm volatile("@move_start %0 %1 %2 %3;" ::"l"(to), "l"(old), "l"(change), "l"(end) : "memory")

struct Newton {
    const Block *chunks;
    // The numbers of the chunks that are swept, in order; null for all.
    const u32 *indices;
    u64 count;
    // The states before the chunks: in the last sweep (null: there is nothing to replay), in this one, in the next.
    const char *old, *starts;
    char *fresh;
    char *ends;
    Linearized *results;
    // Steps of a block and factor of the last sweep, and of this one.
    u64 old_block;
    double old_factor;
    u64 block;
    double factor;
    // Columns of a map; components of a thread's state; parts, and whether others are swept by other launches, or these are several.
    u64 columns, n, parts, shared;
    // Of tiles and of their groups what they publish, and whether they have.
    char *totals, *prefixes;
    u32 *flags, *group_flags, *counter;
    u64 sweep;
};

INLINE void await(const u32 *flag, u32 sweep) {
    while (acquired(flag) != sweep) {}
}

// OWN components in a thread, in blocks of K, for LANES parts beside each other and ROWS chunks.
template <class R, int OWN, int K, int LANES, int ROWS> struct Sweep {
    enum : int {
        N = OWN * LANES,
        // Of large blocks vectors are in shared memory, and all threads take part in what becomes of them. Nor is there room for the
        // totals of a whole group.
        LARGE = K > 8,
        GROUP = LARGE ? 16 : 32,
        BEFORE = LARGE ? 2 : GROUP,
    };
    typedef Maps<R, N, K> M;

    struct Shared {
        u32 tile;
        typename M::template Array<ROWS> maps;
        typename M::template Array<BEFORE> before;
        R change[ROWS][N], image[LARGE ? ROWS : 1][N];
        u8 settled[ROWS > LANES ? ROWS : LANES];
    };

    // Where a tile is among those of its group, and what it publishes and waits for.
    struct Tile {
        u32 place, group, column, across, sweep;
        R *totals, *prefixes;
        u32 *flags, *group_flags;

        INLINE Tile at(const Newton &s, u32 number, u32 column, u32 across) {
            return {number % GROUP, number / GROUP, column,        across,  (u32)s.sweep,
                    (R *)s.totals,  (R *)s.prefixes, s.flags, s.group_flags};
        }
        // The number of another tile of the group.
        INLINE u64 slot(const Tile &t, u32 place) { return ((u64)t.group * GROUP + place) * t.across + t.column; }
        // The number of a group.
        INLINE u64 prefix(const Tile &t, u32 group) { return (u64)group * t.across + t.column; }
    };

    INLINE void publish_total(Shared &m, const Tile &t) {
        R *to = t.totals + Tile::slot(t, t.place) * M::PUBLISHED;
        for (int j = threadIdx.x; j < M::WIDTH; j += blockDim.x) to[j] = m.maps.number[ROWS - 1][j];
        for (int j = threadIdx.x; j < N; j += blockDim.x) to[M::WIDTH + j] = R(m.maps.flags[ROWS - 1][j]);
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0) release(&t.flags[Tile::slot(t, t.place)], t.sweep);
    }

    // Joins the totals of the tiles before in the group. Returns the row of `before` that has them all.
    INLINE int join_before(Shared &m, const Tile &t) {
        const u32 tid = threadIdx.x;
        if (tid < t.place) await(&t.flags[Tile::slot(t, tid)], t.sweep);
        if constexpr (LARGE) {
            // One after the other.
#pragma unroll 1
            for (u32 other = 0; other < t.place; ++other) {
                const R *from = t.totals + Tile::slot(t, other) * M::PUBLISHED;
                const int row = other & 1;
                __syncthreads();
                for (int j = tid; j < M::WIDTH; j += blockDim.x) m.before.number[row][j] = from[j];
                for (int j = tid; j < N; j += blockDim.x) m.before.flags[row][j] = (u8)from[M::WIDTH + j];
                __syncthreads();
                if (other > 0) {
                    for (int i = tid; i < N; i += blockDim.x) M::join(m.before, 1 - row, row, i);
                }
            }
            __syncthreads();
            return (t.place - 1) & 1;
        } else {
            __syncthreads();
#pragma unroll 1
            for (int j = tid; j < (int)t.place * M::PUBLISHED; j += blockDim.x) {
                const int other = j / M::PUBLISHED, at = j % M::PUBLISHED;
                const R number = t.totals[Tile::slot(t, other) * M::PUBLISHED + at];
                if (at < M::WIDTH) m.before.number[other][at] = number;
                else m.before.flags[other][at - M::WIDTH] = (u8)number;
            }
            for (int j = t.place * N + tid; j < GROUP * N; j += blockDim.x)
                M::identity(m.before.number[j / N], m.before.flags[j / N], j % N);
            __syncthreads();
            M::up(m.before);
            return GROUP - 1;
        }
    }

    // What comes out of the group, of which the first row of `change` goes into this last tile.
    INLINE void publish_prefix(Shared &m, const Tile &t) {
        const int i = threadIdx.x;
        const u64 own = Tile::prefix(t, t.group);
        if (i < N) {
            const u8 *flags = m.maps.flags[ROWS - 1];
            const bool settled = m.settled[i / OWN];
            t.prefixes[own * 2 * N + i] = M::image(m.maps.number[ROWS - 1], flags, m.change[0], settled, i);
            t.prefixes[own * 2 * N + N + i] = R(M::settles(flags[i], settled));
        }
        __threadfence();
        __syncthreads();
        if (i == 0) release(&t.group_flags[own], t.sweep);
    }

    // The last row of the earlier half of a pair, of which row `row` is in the later half.
    INLINE u32 before_half(u32 row, u32 half) { return (row & ~(2 * half - 1)) + half - 1; }

    // What comes before a row in the later half of a pair is what comes of the pair's earlier half.
    INLINE void images(Shared &m, u32 half) {
#pragma unroll 1
        for (u32 job = threadIdx.x; job < ROWS * N; job += blockDim.x) {
            const u32 row = job / N, i = job % N;
            if (!(row & half)) continue;
            const u32 left = before_half(row, half);
            m.image[row][i] = M::image(m.maps.number[left], m.maps.flags[left], m.change[row], m.settled[row], i);
        }
        __syncthreads();
#pragma unroll 1
        for (u32 job = threadIdx.x; job < ROWS * N; job += blockDim.x) {
            const u32 row = job / N, i = job % N;
            if (!(row & half)) continue;
            m.change[row][i] = m.image[row][i];
            if (i == 0) m.settled[row] = M::settles(m.maps.flags[before_half(row, half)][0], m.settled[row]);
        }
        __syncthreads();
    }

    // The change of each chunk's start and whether it is settled, in `change` and `settled`, by all threads.
    INLINE void down_together(Shared &m, const Tile &t) {
        const int tid = threadIdx.x;
        const R *from = t.prefixes + Tile::prefix(t, t.group - 1) * 2 * N;
        int joined = 0;
        if (t.place > 0) joined = join_before(m, t);
        if (t.group > 0 && tid == 0) await(&t.group_flags[Tile::prefix(t, t.group - 1)], t.sweep);
        __syncthreads();
        if (tid < N) m.change[0][tid] = t.group > 0 ? from[tid] : R(0);
        if (tid == 0) m.settled[0] = t.group > 0 ? from[N] != R(0) : true;
        __syncthreads();
        if (t.place > 0) {
            const u8 *flags = m.before.flags[joined];
            if (tid < N) m.image[0][tid] = M::image(m.before.number[joined], flags, m.change[0], m.settled[0], tid);
            __syncthreads();
            if (tid < N) m.change[0][tid] = m.image[0][tid];
            if (tid == 0) m.settled[0] = M::settles(flags[0], m.settled[0]);
            __syncthreads();
        }
        if (t.place + 1 == GROUP) publish_prefix(m, t);
        for (int job = tid + N; job < ROWS * N; job += blockDim.x) {
            m.change[job / N][job % N] = m.change[0][job % N];
            if (job % N == 0) m.settled[job / N] = m.settled[0];
        }
        __syncthreads();
#pragma unroll 1
        for (u32 half = ROWS / 2; half > 0; half /= 2) images(m, half);
    }

    // The same for the chunk and the part of a thread that is the first of them, in x.
    INLINE void down_alone(Shared &m, const Tile &t, u32 row, u32 lane, u32 group, R (&x)[OWN], bool &settled) {
        const int tid = threadIdx.x, first = lane * OWN;
        R *change = m.change[row] + first;
        int joined = 0;
        if (t.place > 0) joined = join_before(m, t);
#pragma unroll
        for (int q = 0; q < OWN; ++q) x[q] = R(0);
        settled = true;
        if (t.group > 0) {
            const u64 other = Tile::prefix(t, t.group - 1);
            if (tid == 0) await(&t.group_flags[other], t.sweep);
            __syncthreads();
            const R *from = t.prefixes + other * 2 * N + first;
#pragma unroll
            for (int q = 0; q < OWN; ++q) x[q] = from[q];
            settled = from[N] != R(0);
        }
        if (t.place > 0 && group == 0)
            M::apply(m.before.number[joined], m.before.flags[joined], x, settled, first, change);
        if (t.place + 1 == GROUP) {
            if (tid < LANES) {
#pragma unroll
                for (int q = 0; q < OWN; ++q) m.change[0][first + q] = x[q];
                m.settled[lane] = settled;
            }
            __syncthreads();
            publish_prefix(m, t);
        }
        if (group != 0) return;
#pragma unroll 1
        for (u32 half = ROWS / 2; half > 0; half /= 2) {
            if (!(row & half)) continue;
            const u32 left = before_half(row, half);
            M::apply(m.maps.number[left], m.maps.flags[left], x, settled, first, change);
        }
    }

    INLINE void run(const Arguments &a, const Newton &s) {
        __shared__ Shared m;
        const u32 tid = threadIdx.x;
        if (tid == 0) m.tile = atomicInc(s.counter, gridDim.x - 1);
        __syncthreads();
        const u32 across = (u32)((s.parts + LANES - 1) / LANES);
        const u32 number = m.tile / across, column = m.tile % across;
        // The parts of a chunk are beside each other, and so are those threads that have other columns of them.
        const u32 beside = blockDim.x / ROWS, groups = beside / LANES;
        const u32 row = tid / beside, lane = tid % LANES, group = tid % beside / LANES, first = lane * OWN;
        const u64 k = (u64)number * ROWS + row, part = (u64)column * LANES + lane;
        const bool on = k < s.count && part < s.parts;

        u64 i = on ? k * s.parts + part : 0;
        BLOCK_OF(i);
        if (s.indices) i = s.indices[i];
        const Block chunk = s.chunks[i];
        const bool leads = on && group == 0, last = chunk.flags & LAST;
        const char *start = s.starts + i * a.state_bytes;
        char *end = s.ends + i * a.state_bytes;
        if (leads) {
            if (s.old && chunk.len > s.old_block)
                replay_chunk(a, chunk, s.old + i * a.state_bytes, start, (u32)s.old_block, s.old_factor);
            if (!(chunk.flags & FIRST)) {
                LOAD_STATE(start);
                STORE_STATE(a.states + (chunk.state - 1) * a.state_bytes);
            }
        }
        // The other threads of the chunk read the borders.
        if (s.old) __syncthreads();

        R *map = m.maps.number[row];
        u8 *flags = m.maps.flags[row];
        // Where the next chunk starts, if there is one.
        const char *next = start + a.state_bytes;
        if (on) {
            double largest;
            const bool converged =
                linearize_chunk(a, chunk, start, next, (u32)s.block, group, (u32)s.columns, s.factor, largest);
            if (chunk.len > s.block) {
                STORE_END(end, group, (u32)s.columns, s.factor);
            } else if (leads) {
                STORE_STATE(end);
            }
            SCALE_COLUMNS(s.factor);
            SHARE_COLUMNS(map + first * K, group, (u32)s.columns);
            if (leads) {
                // For the other threads of the chunk, until `leaf` writes the flags.
                flags[first] = converged;
                if (s.shared) {
                    raise(&s.results[i].residual, order(largest));
                    if (!converged) atomicExch(&s.results[i].beyond, 1u);
                } else {
                    s.results[i].residual = order(largest);
                    s.results[i].beyond = !converged;
                }
            }
        }
        __syncthreads();
        const bool converged = on && flags[first];
        if (leads && !last) {
            LOAD_STATE(end);
            SHARE_CHANGE(map + M::C + first, next);
        }
        __syncthreads();
        for (int q = group; q < OWN; q += groups) {
            const int size = q < (int)s.n ? K == 1 ? 1 : (int)s.n : 0;
            if (on) M::leaf(map, flags, first + q, size, last, converged);
            else M::identity(map, flags, first + q);
        }
        __syncthreads();
        M::up(m.maps);

        // What is before the tile. The total first, since others wait for it; the group before comes last, since each waits for that in turn.
        const Tile tile = Tile::at(s, number, column, across);
        if (tile.place + 1 < GROUP) publish_total(m, tile);
        R x[LARGE ? 1 : OWN], *change = m.change[row] + first;
        bool settled;
        if constexpr (LARGE) {
            down_together(m, tile);
            settled = m.settled[row];
        } else {
            down_alone(m, tile, row, lane, group, x, settled);
        }
        if (!leads) return;
        char *fresh = s.fresh + i * a.state_bytes;
        if (settled) {
            LOAD_STATE(start);
            STORE_STATE(fresh);
            return;
        }
        if constexpr (!LARGE) {
#pragma unroll
            for (int q = 0; q < OWN; ++q) change[q] = x[q];
        }
        MOVE_START(fresh, start, change, end - a.state_bytes);
    }
};

// With one block of threads a multiprocessor asked for, ptxas takes the registers that it needs; without, it keeps to fewer, and a few
// bytes of some kernels then go to local memory.
#define KERNEL(NAME, R, OWN, K, LANES, ROWS, ...) \
    extern "C" __global__ void __launch_bounds__(__VA_ARGS__) NAME(Arguments a, Newton s) { \
        REGISTERS; \
        Sweep<R, OWN, K, LANES, ROWS>::run(a, s); \
    }
#define BOTH(NAME, OWN, K, LANES, ROWS, ...) \
    KERNEL(newton_##NAME##_f32, float, OWN, K, LANES, ROWS, __VA_ARGS__) \
    KERNEL(newton_##NAME##_f64, double, OWN, K, LANES, ROWS, __VA_ARGS__)
BOTH(diagonal_1, 1, 1, 1, 128, 128)
BOTH(diagonal_2, 2, 1, 1, 128, 128)
BOTH(diagonal_4, 4, 1, 1, 128, 128)
BOTH(diagonal_8, 8, 1, 1, 64, 64)
BOTH(diagonal_16, 16, 1, 1, 32, 32)
BOTH(dense_2, 2, 2, 1, 128, 128)
BOTH(dense_3, 3, 3, 1, 128, 128)
BOTH(dense_4, 4, 4, 1, 64, 128)
BOTH(dense_5, 5, 5, 1, 32, 128, 1)
BOTH(dense_6, 6, 6, 1, 32, 128)
BOTH(dense_7, 7, 7, 1, 32, 128)
BOTH(dense_8, 8, 8, 1, 32, 128)
BOTH(dense_12, 12, 12, 1, 16, 208, 1)
BOTH(dense_16, 16, 16, 1, 8, 136, 1)
BOTH(dense_24, 24, 24, 1, 4, 100, 1)
BOTH(dense_32, 32, 32, 1, 2, 66, 1)
BOTH(parts_1, 1, 1, 8, 32, 256, 1)
BOTH(parts_2, 2, 2, 4, 32, 128, 1)
BOTH(parts_3, 3, 3, 4, 32, 128, 1)
BOTH(parts_4, 4, 4, 2, 32, 128, 1)
