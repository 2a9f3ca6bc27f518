// The borders of chunks, between two sweeps of Newton's method: the affine maps of the chunks as elements of a scan, and the
// states that the scan leads to.
#include "block.cuh"

// The state before each of the chunks `indices`, [chunks, words] in words of 4 bytes.
extern "C" __global__ void __launch_bounds__(128)
load_starts(const u32 *states, const Block *chunks, const u32 *indices, u64 count, const u32 *initial, u64 max_steps,
            u64 words, u32 *starts) {
    const u64 k = thread();
    if (k >= count * words) return;
    const u32 i = indices[k / words];
    const u64 word = k % words, at = chunks[i].state;
    starts[i * words + word] = chunks[i].flags & FIRST ? initial[at / max_steps * words + word] : states[(at - 1) * words + word];
}

// Stores `starts` as the states before the chunks `indices`.
extern "C" __global__ void __launch_bounds__(128)
store_starts(u32 *states, const Block *chunks, const u32 *indices, u64 count, u64 words, const u32 *starts) {
    const u64 k = thread();
    if (k >= count * words) return;
    const u32 i = indices[k / words];
    if (chunks[i].flags & FIRST) return;
    states[(chunks[i].state - 1) * words + k % words] = starts[i * words + k % words];
}

// For each of the chunks `indices` the map of the change of its start to that of the next one's: [blocks size x size row-major, n],
// components in the order `components`. It is zero for the last of a range, so that ranges do not mix; `inside` says for each
// whether another chunk of its range follows. Without `maps`, a map is `scale` to the power of the chunk's blocks.
template <class R>
INLINE void elements(const u32 *indices, const u32 *inside, u64 count, const R *starts, const R *ends, const R *maps, u32 n,
                     u32 size, const u32 *components, double scale, const Block *chunks, u64 block, R *out) {
    const u64 t = thread();
    if (t >= count * n) return;
    const u64 k = t / n, width = (u64)n * (size + 1);
    const u32 row = (u32)(t % n), i = indices[k], component = components[row];
    R *to = out + k * width;
    bool known = inside[k];
    R change = 0;
    if (known) {
        change = ends[(u64)i * n + component] - starts[(u64)indices[k + 1] * n + component];
        // An end that is not finite leaves the next start as it was.
        if (!finite(change)) {
            change = 0;
            known = false;
        }
    }
    if (!maps) {
        const u64 blocks = (chunks[i].len + block - 1) / block;
        R factor = 1;
        for (u64 b = 0; b < blocks; ++b) factor *= (R)scale;
        to[row] = known ? factor : R(0);
    } else {
        const R *from = maps + (u64)i * n * size + (u64)row * size;
        // A slope that is not finite predicts nothing: what was rolled is left.
        for (u32 j = 0; j < size; ++j) known = known && finite(from[j]);
        for (u32 j = 0; j < size; ++j) to[row * size + j] = known ? from[j] : R(0);
    }
    to[(u64)n * size + row] = change;
}

// The new starts of the chunks `indices`, from the scanned elements: the first of a range stays.
template <class R>
INLINE void moved(const u32 *indices, const u32 *inside, u64 count, const R *starts, const R *ends, const R *scanned, u32 n,
                  u32 size, const u32 *components, R *fresh) {
    const u64 t = thread();
    if (t >= count * n) return;
    const u64 k = t / n, width = (u64)n * (size + 1);
    const u32 row = (u32)(t % n), i = indices[k], component = components[row];
    const R old = starts[(u64)i * n + component];
    R start = old;
    if (k > 0 && inside[k - 1]) {
        start = old + scanned[(k - 1) * width + (u64)n * size + row];
        if (!finite(start)) start = ends[(u64)indices[k - 1] * n + component];
        if (!finite(start)) start = old;
    }
    fresh[(u64)i * n + component] = start;
}

#define KERNELS(PRECISION, R) \
    extern "C" __global__ void __launch_bounds__(128) elements_##PRECISION( \
        const u32 *indices, const u32 *inside, u64 count, const R *starts, const R *ends, const R *maps, u64 n, u64 size, \
        const u32 *components, double scale, const Block *chunks, u64 block, R *out) { \
        elements<R>(indices, inside, count, starts, ends, maps, (u32)n, (u32)size, components, scale, chunks, block, out); \
    } \
    extern "C" __global__ void __launch_bounds__(128) moved_##PRECISION( \
        const u32 *indices, const u32 *inside, u64 count, const R *starts, const R *ends, const R *scanned, u64 n, u64 size, \
        const u32 *components, R *fresh) { \
        moved<R>(indices, inside, count, starts, ends, scanned, (u32)n, (u32)size, components, fresh); \
    }
KERNELS(f32, float)
KERNELS(f64, double)
