// Between two sweeps of derivatives: what blocks hand over to each other, and how large what they added is.
#include "derivatives.cuh"

// Gives what each block hands over, [blocks, n], to the block after it, or backwards before it, and adds what leaves a sequence to
// `left` [B, n]. `largest` is raised to the largest that is given: 0 if none is.
template <class R>
INLINE void hand_over(const Block *blocks, u64 count, u64 n, u64 max_steps, u64 backwards, const R *from, R *to, R *left,
                      u64 *largest) {
    const u64 k = thread();
    if (k >= count * n) return;
    const u64 i = k / n;
    const Block block = blocks[i];
    const u32 ends = backwards ? FIRST : LAST, begins = backwards ? LAST : FIRST;
    if (block.flags & ends) left[block.state / max_steps * n + k % n] += from[k];
    R given = 0;
    if (!(block.flags & begins)) given = backwards ? from[k + n] : from[k - n];
    to[k] = given;
    raise(largest, order(given));
}

extern "C" __global__ void __launch_bounds__(128)
hand_over_f32(const Block *blocks, u64 count, u64 n, u64 max_steps, u64 backwards, const float *from, float *to, float *left,
              u64 *largest) {
    hand_over(blocks, count, n, max_steps, backwards, from, to, left, largest);
}

extern "C" __global__ void __launch_bounds__(128)
hand_over_f64(const Block *blocks, u64 count, u64 n, u64 max_steps, u64 backwards, const double *from, double *to, double *left,
              u64 *largest) {
    hand_over(blocks, count, n, max_steps, backwards, from, to, left, largest);
}

// Keeps of each tile the size of the largest contribution, that of all parts together; `lanes` threads, 1 or 32, go through the parts of a
// tile. With `first` all are new, and `largest` is raised to the largest of them.
extern "C" __global__ void __launch_bounds__(128)
keep_sizes(const Block *blocks, const u32 *chosen, u64 count, u64 tiles, u64 parts, u64 lanes, const double *noted, double *sizes,
           u64 first, u64 *largest) {
    const u64 k = thread() / lanes, lane = thread() % lanes;
    const u64 i = k / tiles, tile = k % tiles;
    const u64 own = i < count ? chosen ? chosen[i] : i : 0;
    const bool there = i < count && tile * TILE < blocks[own].len;
    double size = 0.0;
    if (there) {
        for (u64 part = lane; part < parts; part += lanes) size += noted[k * parts + part];
    }
    if (lanes > 1) {
#pragma unroll
        for (int d = 16; d > 0; d /= 2) size += __shfl_xor_sync(ALL, size, d);
    }
    if (!there || lane > 0) return;
    double *to = &sizes[own * tiles + tile];
    if (first || size > *to) *to = size;
    if (first) raise(largest, order(size));
}

// Adds to `sums` those of `count` blocks' parts, by each block of threads for its share of them.
extern "C" __global__ void __launch_bounds__(128)
sum_swept(const Swept *swept, u64 count, Swept *sums) {
    __shared__ Swept own[128];
    Swept sum = {0.0, 0.0};
    for (u64 i = thread(); i < count; i += (u64)gridDim.x * blockDim.x) {
        sum.difference += swept[i].difference;
        sum.magnitude += swept[i].magnitude;
    }
    own[threadIdx.x] = sum;
    for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x >= half) continue;
        own[threadIdx.x].difference += own[threadIdx.x + half].difference;
        own[threadIdx.x].magnitude += own[threadIdx.x + half].magnitude;
    }
    if (threadIdx.x > 0) return;
    sums[blockIdx.x].difference += own[0].difference;
    sums[blockIdx.x].magnitude += own[0].magnitude;
}
