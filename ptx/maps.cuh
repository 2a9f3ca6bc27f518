// Affine maps in shared memory, one for each of a tile's chunks of time, and how they are joined: for newton.cu.
#pragma once
#include "device.cuh"

typedef unsigned char u8;

// What a map does to a sequence whose chunks so far are all settled, or not. Starts of settled ones stay, and so does that of the first
// chunk after them, whatever the ends. SETTLED: it leaves such a sequence settled. CONSTANT: a sequence begins in it, so that
// what comes out does not depend on what goes in.
enum : u8 { SETTLED = 1, CONSTANT = 2 };

// Affine maps of N components in blocks of K: x -> M x + C, or, of what is settled, -> S. Row i of a map has the K entries of its block.
// A block's rows have the same flags.
template <class R, int N, int K> struct Maps {
    enum : int {
        C = N * K,
        S = C + N,
        WIDTH = C + 2 * N,
        // An odd number, so that maps begin in different banks.
        PITCH = WIDTH | 1,
        // With its flags, in global memory.
        PUBLISHED = WIDTH + N,
        // Rows of larger blocks are gone through one by one, so that they do not crowd the registers.
        SMALL = K <= 4,
        UNROLLED = SMALL ? K : 1,
    };

    template <int ROWS> struct Array {
        R number[ROWS][PITCH];
        u8 flags[ROWS][N];
    };

    // The first row of the block that has row i.
    INLINE int block_of(int i) { return N == K ? 0 : i / K * K; }

    // Row i of `late` becomes that of `early` and then `late`.
    template <int ROWS> INLINE void join(Array<ROWS> &maps, int early, int late, int i) {
        const u8 flags = maps.flags[late][i], before = maps.flags[early][i];
        if (flags & CONSTANT) return;
        const R *e = maps.number[early];
        R *l = maps.number[late];
        R c = l[C + i], s = c;
        if constexpr (K > 1) {
            const int of = block_of(i);
            R row[K];
#pragma unroll
            for (int j = 0; j < K; ++j) {
                row[j] = l[i * K + j];
                c = fma(row[j], e[C + of + j], c);
                s = fma(row[j], e[S + of + j], s);
            }
#pragma unroll UNROLLED
            for (int j = 0; j < K; ++j) {
                R sum = row[0] * e[of * K + j];
#pragma unroll
                for (int k = 1; k < K; ++k) sum = fma(row[k], e[(of + k) * K + j], sum);
                l[i * K + j] = before & CONSTANT ? R(0) : sum;
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

    // Row i of the identity, which leaves what is settled.
    INLINE void identity(R *map, u8 *flags, int i) {
        if constexpr (K > 1) {
            for (int j = 0; j < K; ++j) map[i * K + j] = R(i == block_of(i) + j);
        } else {
            map[i] = R(1);
        }
        map[C + i] = map[S + i] = R(0);
        flags[i] = SETTLED;
    }

    // Row i of a chunk's map, of which the slopes and the change are there, as it is for the next chunk's start: a row of a block that has
    // `size` components, or of none. A `last` one is followed by no other.
    INLINE void leaf(R *map, u8 *flags, int i, int size, bool last, bool converged) {
        const u8 flag = last ? SETTLED | CONSTANT : converged ? SETTLED : 0;
        if (size == 0) {
            identity(map, flags, i);
        } else {
            R *row = map + i * K;
            // What is not finite predicts nothing, and leaves the next start as it was.
            R change = last ? R(0) : map[C + i];
            bool known = !last && finite(change);
            if (!known) change = R(0);
            for (int j = 0; j < size; ++j) known = known && finite(row[j]);
            for (int j = 0; j < K; ++j) row[j] = known && j < size ? row[j] : R(0);
            map[C + i] = change;
            map[S + i] = converged ? R(0) : change;
        }
        flags[i] = flag;
    }

    // Component i of what comes of x.
    INLINE R image(const R *map, const u8 *flags, const R *x, bool settled, int i) {
        if (settled || flags[i] & CONSTANT) return map[S + i];
        R sum = map[C + i];
        if constexpr (K > 1) {
            const int of = block_of(i);
#pragma unroll
            for (int j = 0; j < K; ++j) sum = fma(map[i * K + j], x[of + j], sum);
        } else {
            sum = fma(map[i], x[i], sum);
        }
        return sum;
    }

    // Whether what comes of a block is settled.
    INLINE bool settles(u8 flag, bool settled) { return (settled || flag & CONSTANT) && flag & SETTLED; }

    // x, which has OWN components from `first` on, becomes what comes of it. `room` is for as many numbers.
    template <int OWN> INLINE void apply(const R *map, const u8 *flags, R (&x)[OWN], bool &settled, int first, R *room) {
        const u8 flag = flags[first];
        if (settled || flag & CONSTANT) {
#pragma unroll
            for (int i = 0; i < OWN; ++i) x[i] = map[S + first + i];
        } else if constexpr (K > 1) {
            R y[OWN];
#pragma unroll UNROLLED
            for (int i = 0; i < OWN; ++i) {
                R sum = map[C + first + i];
#pragma unroll
                for (int j = 0; j < OWN; ++j) sum = fma(map[(first + i) * K + j], x[j], sum);
                if constexpr (SMALL) y[i] = sum;
                else room[i] = sum;
            }
#pragma unroll
            for (int i = 0; i < OWN; ++i) x[i] = SMALL ? y[i] : room[i];
        } else {
#pragma unroll
            for (int i = 0; i < OWN; ++i) x[i] = fma(map[first + i], x[i], map[C + first + i]);
        }
        settled = settles(flag, settled);
    }
};
