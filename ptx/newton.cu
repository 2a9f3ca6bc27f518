// A sweep of Newton's method over the chunks of all sequences in one launch: what the last sweep left to replay, linearisation, the
// scan of the chunks' affine maps, and where they take the starts of the chunks. No map of a chunk leaves its block of threads.
//
// These are templates, as sweeps.cu is. A tile is ROWS chunks; thread (row, group) has some of the columns of a chunk's map. A state that
// falls into parts is swept LANES parts at a time, a thread for each part of a chunk.
//
// The scan is a single pass with decoupled look-back. Maps of a tile are joined two and two, as the leaves of a tree, and the change of
// a chunk's start is what comes down the tree to its leaf. A tile publishes its total. What is before it is the tree of the totals before it
// in its group of GROUP tiles, after what the last tile of the group before has published: the change that comes out of all tiles up to there.
// Every combination so follows from the numbers of chunks alone: the same bits in every run.
//
// Tiles take their numbers from a counter, so that those before one have begun. Flags hold the number of the sweep that set them last.
#include "sweeps.cuh"

// A map's columns in shared memory, where its first entry is at `to`.
#define SHARE_COLUMNS(to, group, columns) \
    asm volatile("@share_columns %0 %1 %2;" ::"l"(to), "r"(group), "r"(columns) : "memory")
// x - state at `at`, in shared memory at `to`
#define SHARE_CHANGE(to, at) asm volatile("@share_change %0 %1;" ::"l"(to), "l"(at) : "memory")
// The state at `old` and the change in shared memory, where that is finite; else the state at `end`; else the one at `old`.
#define MOVE_START(to, old, change, end) \
    asm volatile("@move_start %0 %1 %2 %3;" ::"l"(to), "l"(old), "l"(change), "l"(end) : "memory")

enum : u32 { GROUP = 32 };
typedef unsigned char u8;

// What a map does to a sequence whose chunks so far are all settled, or not. Starts of settled ones stay, and so does that of the first
// chunk after them, whatever the ends. SETTLED: it leaves such a sequence settled. CONSTANT: a sequence begins in it, so that
// what comes out does not depend on what goes in.
enum : u8 { SETTLED = 1, CONSTANT = 2 };

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
    // Columns of a map; components of a thread's state; parts.
    u64 columns, n, parts;
    // Of tiles and of their groups what they publish, and whether they have.
    char *totals, *prefixes;
    u32 *flags, *group_flags, *counter;
    u64 sweep;
};

INLINE void await(const u32 *flag, u32 sweep) {
    while (acquired(flag) != sweep) {}
}

template <class R> INLINE bool finite(R x) { return x - x == R(0); }

// Affine maps of N components: x -> M x + C, or, of what is settled, -> S.
template <class R, int N, bool DENSE> struct Maps {
    enum : int {
        MAP = DENSE ? N * N : N,
        C = MAP,
        S = MAP + N,
        WIDTH = MAP + 2 * N,
        // An odd number, so that rows begin in different banks.
        PITCH = WIDTH | 1,
        // With its flags, in global memory.
        PUBLISHED = WIDTH + N,
        // Rows of larger maps are gone through one by one, so that they do not crowd the registers.
        SMALL = N <= 4,
        UNROLLED = SMALL ? N : 1,
    };

    template <int ROWS> struct Array {
        R number[ROWS][PITCH];
        u8 flags[ROWS][N];
    };

    // Row i of `late` becomes that of `early` and then `late`.
    template <int ROWS> INLINE void join(Array<ROWS> &maps, int early, int late, int i) {
        const u8 flags = maps.flags[late][i], before = maps.flags[early][i];
        if (flags & CONSTANT) return;
        const R *e = maps.number[early];
        R *l = maps.number[late];
        R c = l[C + i], s = c;
        if constexpr (DENSE) {
            R row[N];
#pragma unroll
            for (int j = 0; j < N; ++j) {
                row[j] = l[i * N + j];
                c = fma(row[j], e[C + j], c);
                s = fma(row[j], e[S + j], s);
            }
#pragma unroll UNROLLED
            for (int j = 0; j < N; ++j) {
                R sum = row[0] * e[j];
#pragma unroll
                for (int k = 1; k < N; ++k) sum = fma(row[k], e[k * N + j], sum);
                l[i * N + j] = before & CONSTANT ? R(0) : sum;
            }
        } else {
            c = fma(l[i], e[C + i], c);
            s = fma(l[i], e[S + i], s);
            l[i] = before & CONSTANT ? R(0) : l[i] * e[i];
        }
        if (before & SETTLED) s = l[S + i];
        l[S + i] = s;
        l[C + i] = before & CONSTANT ? s : c;
        maps.flags[late][i] = (before & SETTLED ? flags & SETTLED : 0) | (before & CONSTANT);
    }

    // The upper half of each pair of neighbours becomes both, and so on until the last row is all. For whole blocks of threads.
    template <int ROWS> INLINE void up(Array<ROWS> &maps) {
#pragma unroll 1
        for (int d = 1; d < ROWS; d *= 2) {
#pragma unroll 1
            for (int job = threadIdx.x; job < ROWS / (2 * d) * N; job += blockDim.x) {
                const int late = (job / N + 1) * 2 * d - 1;
                join(maps, late - d, late, job % N);
            }
            __syncthreads();
        }
    }

    // Row i of the identity.
    INLINE void identity(R *map, u8 *flags, int i) {
        if constexpr (DENSE) {
            for (int j = 0; j < N; ++j) map[i * N + j] = R(i == j);
        } else {
            map[i] = R(1);
        }
        map[C + i] = map[S + i] = R(0);
        flags[i] = SETTLED;
    }

    // x, which has OWN components from `first` on, becomes what comes of it. `room` is for as many numbers.
    template <int OWN> INLINE void apply(const R *map, const u8 *flags, R (&x)[OWN], bool &settled, int first, R *room) {
        const u8 flag = flags[first];
        if (settled || flag & CONSTANT) {
#pragma unroll
            for (int i = 0; i < OWN; ++i) x[i] = map[S + first + i];
            settled = flag & SETTLED;
        } else if constexpr (DENSE) {
            R y[OWN];
#pragma unroll UNROLLED
            for (int i = 0; i < OWN; ++i) {
                R sum = map[C + i];
#pragma unroll
                for (int j = 0; j < OWN; ++j) sum = fma(map[i * N + j], x[j], sum);
                if constexpr (SMALL) y[i] = sum;
                else room[i] = sum;
            }
#pragma unroll
            for (int i = 0; i < OWN; ++i) x[i] = SMALL ? y[i] : room[i];
        } else {
#pragma unroll
            for (int i = 0; i < OWN; ++i) x[i] = fma(map[first + i], x[i], map[C + first + i]);
        }
    }
};

template <class R, int N, bool DENSE, int ROWS, bool PARTS> struct Sweep {
    typedef Maps<R, N, DENSE> M;
    enum : int { LANES = PARTS ? N : 1, OWN = PARTS ? 1 : N };

    struct Shared {
        u32 tile;
        typename M::template Array<ROWS> maps;
        typename M::template Array<GROUP> before;
        R change[ROWS][N];
        u8 settled[N];
    };

    // The map of a chunk, of which the slopes and the change of `n` components are in shared memory, for the next chunk's start.
    INLINE void leaf(R *map, u8 *flags, int first, int n, bool last, bool converged) {
        const u8 flag = last ? SETTLED | CONSTANT : converged ? SETTLED : 0;
        for (int i = first + n; i < first + OWN; ++i) {
            M::identity(map, flags, i);
            flags[i] = flag;
        }
        for (int i = first; i < first + n; ++i) {
            R *row = DENSE ? map + i * N : map + i;
            const int size = DENSE ? N : 1;
            // What is not finite predicts nothing, and leaves the next start as it was.
            R change = last ? R(0) : map[M::C + i];
            bool known = !last && finite(change);
            if (!known) change = R(0);
            for (int j = 0; j < size; ++j) known = known && finite(row[j]);
            for (int j = 0; j < size; ++j) row[j] = known ? row[j] : R(0);
            map[M::C + i] = change;
            map[M::S + i] = converged ? R(0) : change;
            flags[i] = flag;
        }
    }

    INLINE void run(const Arguments &a, const Newton &s) {
        __shared__ Shared m;
        const u32 tid = threadIdx.x;
        if (tid == 0) m.tile = atomicInc(s.counter, gridDim.x - 1);
        __syncthreads();
        const u32 across = PARTS ? (u32)((s.parts + LANES - 1) / LANES) : 1;
        const u32 tile = m.tile / across, column = m.tile % across, sweep = (u32)s.sweep;
        // Groups of a chunk are beside each other, or its parts.
        const u32 beside = PARTS ? LANES : blockDim.x / ROWS;
        const u32 row = tid / beside, lane = PARTS ? tid % beside : 0, group = PARTS ? 0 : tid % beside;
        const u64 k = (u64)tile * ROWS + row, part = (u64)column * LANES + lane;
        const bool on = k < s.count && (!PARTS || part < s.parts);

        u64 i = on ? PARTS ? k * s.parts + part : k : 0;
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
        bool converged = true;
        if (on) {
            double largest;
            converged = linearize_chunk(a, chunk, start, next, (u32)s.block, group, (u32)s.columns, s.factor, largest);
            if (chunk.len > s.block) {
                STORE_END(end, group, (u32)s.columns, s.factor);
            } else if (leads) {
                STORE_STATE(end);
            }
            SCALE_COLUMNS(s.factor);
            SHARE_COLUMNS(map + lane, group, (u32)s.columns);
            if (PARTS) {
                raise(&s.results[i].residual, order(largest));
                if (!converged) atomicExch(&s.results[i].beyond, 1u);
            } else if (leads) {
                s.results[i].residual = order(largest);
                s.results[i].beyond = !converged;
            }
        }
        __syncthreads();
        if (leads) {
            if (!last) {
                LOAD_STATE(end);
                SHARE_CHANGE(map + M::C + lane, next);
            }
            leaf(map, flags, lane, PARTS ? 1 : DENSE ? N : (int)s.n, last, converged);
        } else if (!on && group == 0) {
            for (int q = 0; q < OWN; ++q) M::identity(map, flags, lane + q);
        }
        __syncthreads();
        M::up(m.maps);

        // What is before the tile.
        const u32 place = tile % GROUP, of = tile / GROUP;
        const u64 slot = (u64)tile * across + column;
        R *totals = (R *)s.totals, *prefixes = (R *)s.prefixes;
        const bool closes = place + 1 == GROUP;
        if (!closes) {
            R *to = totals + slot * M::PUBLISHED;
            for (int j = tid; j < M::WIDTH; j += blockDim.x) to[j] = m.maps.number[ROWS - 1][j];
            for (int j = tid; j < N; j += blockDim.x) to[M::WIDTH + j] = R(m.maps.flags[ROWS - 1][j]);
            __threadfence();
            __syncthreads();
            if (tid == 0) release(&s.flags[slot], sweep);
        }
        // Of its group, before it waits for the groups before: that is what each group waits for in turn.
        if (place > 0) {
            const u64 first = (u64)of * GROUP * across + column;
            if (tid < place) await(&s.flags[first + (u64)tid * across], sweep);
            __syncthreads();
#pragma unroll 1
            for (int j = tid; j < (int)place * M::PUBLISHED; j += blockDim.x) {
                const int other = j / M::PUBLISHED, at = j % M::PUBLISHED;
                const R number = totals[(first + (u64)other * across) * M::PUBLISHED + at];
                if (at < M::WIDTH) m.before.number[other][at] = number;
                else m.before.flags[other][at - M::WIDTH] = (u8)number;
            }
            for (int j = place * N + tid; j < GROUP * N; j += blockDim.x)
                M::identity(m.before.number[j / N], m.before.flags[j / N], j % N);
            __syncthreads();
            M::up(m.before);
        }
        R x[OWN], *change = m.change[row] + lane;
#pragma unroll
        for (int q = 0; q < OWN; ++q) x[q] = R(0);
        bool settled = true;
        if (of > 0) {
            const u64 other = (u64)(of - 1) * across + column;
            if (tid == 0) await(&s.group_flags[other], sweep);
            __syncthreads();
            const R *from = prefixes + other * 2 * N + lane;
#pragma unroll
            for (int q = 0; q < OWN; ++q) x[q] = from[q];
            settled = from[N] != R(0);
        }
        if (place > 0 && group == 0) M::apply(m.before.number[GROUP - 1], m.before.flags[GROUP - 1], x, settled, lane, change);
        if (closes) {
            if (tid < LANES) {
#pragma unroll
                for (int q = 0; q < OWN; ++q) m.change[0][lane + q] = x[q];
                m.settled[lane] = settled;
            }
            __syncthreads();
            const u64 own = (u64)of * across + column;
            if (tid < N) {
                const R *total = m.maps.number[ROWS - 1];
                const u8 flag = m.maps.flags[ROWS - 1][tid];
                const bool fixed = m.settled[PARTS ? tid : 0] || flag & CONSTANT;
                R sum = fixed ? total[M::S + tid] : total[M::C + tid];
                if (!fixed) {
                    if constexpr (DENSE) {
#pragma unroll
                        for (int j = 0; j < N; ++j) sum = fma(total[tid * N + j], m.change[0][j], sum);
                    } else {
                        sum = fma(total[tid], m.change[0][tid], sum);
                    }
                }
                prefixes[own * 2 * N + tid] = sum;
                prefixes[own * 2 * N + N + tid] = R(fixed && flag & SETTLED);
            }
            __threadfence();
            __syncthreads();
            if (tid == 0) release(&s.group_flags[own], sweep);
        }

        // Down the tree to the chunk.
        if (!leads) return;
#pragma unroll 1
        for (u32 d = ROWS / 2; d > 0; d /= 2) {
            if (!(row & d)) continue;
            const u32 left = (row & ~(2 * d - 1)) + d - 1;
            M::apply(m.maps.number[left], m.maps.flags[left], x, settled, lane, change);
        }
        char *fresh = s.fresh + i * a.state_bytes;
        if (settled) {
            LOAD_STATE(start);
            STORE_STATE(fresh);
            return;
        }
#pragma unroll
        for (int q = 0; q < OWN; ++q) change[q] = x[q];
        MOVE_START(fresh, start, change, end - a.state_bytes);
    }
};

// With one block of threads a multiprocessor asked for, ptxas takes the registers that it needs; without, it keeps to fewer, and a few
// bytes of some kernels then go to local memory.
#define KERNEL(NAME, R, N, DENSE, ROWS, PARTS, ...) \
    extern "C" __global__ void __launch_bounds__(__VA_ARGS__) NAME(Arguments a, Newton s) { \
        REGISTERS; \
        Sweep<R, N, DENSE, ROWS, PARTS>::run(a, s); \
    }
#define BOTH(NAME, N, DENSE, ROWS, PARTS, ...) \
    KERNEL(newton_##NAME##_f32, float, N, DENSE, ROWS, PARTS, __VA_ARGS__) \
    KERNEL(newton_##NAME##_f64, double, N, DENSE, ROWS, PARTS, __VA_ARGS__)
BOTH(diagonal_1, 1, false, 128, false, 128)
BOTH(diagonal_2, 2, false, 128, false, 128)
BOTH(diagonal_4, 4, false, 128, false, 128)
BOTH(diagonal_8, 8, false, 64, false, 64)
BOTH(diagonal_16, 16, false, 32, false, 32)
BOTH(dense_2, 2, true, 128, false, 128)
BOTH(dense_3, 3, true, 128, false, 128)
BOTH(dense_4, 4, true, 64, false, 128)
BOTH(dense_5, 5, true, 32, false, 128, 1)
BOTH(dense_6, 6, true, 32, false, 128)
BOTH(dense_7, 7, true, 32, false, 128)
BOTH(dense_8, 8, true, 32, false, 128)
BOTH(parts, 8, false, 32, true, 256, 1)
