// Sums: over time of products of factors, which are the cotangents of the parameters, and over what parts of a state give to an input.
#include "derivatives.cuh"

// A right factor that is 1.
enum : u32 { ONE = 0xffffffffu };

struct Product {
    u32 left, right;
};

// Sums of the products over slices of the rows: `sums` is [slices, products], thread (product, slice). `used` says which of the `longest`
// rows of each block there are; without it, all.
template <class R>
INLINE void sum_products(const R *factors, u64 rows, u64 width, const Product *products, u64 count, u64 slice, double *sums,
                         const Used *used, u64 longest) {
    const u64 k = thread();
    if (k >= count) return;
    const Product p = products[k];
    u64 from = blockIdx.y * slice;
    const u64 end = from + slice < rows ? from + slice : rows;
    // In several sums, so that they wait less for each other.
    R part[4] = {};
    while (from < end) {
        u64 to = end, next = end;
        if (used) {
            const u64 i = from / longest, first = i * longest;
            const Used own = used[i];
            next = first + longest;
            if (from < first + own.from) from = first + own.from;
            if (to > first + own.to) to = first + own.to;
        }
        const R *at = factors + from * width;
#pragma unroll 1
        for (; from + 4 <= to; from += 4, at += 4 * width) {
#pragma unroll
            for (int r = 0; r < 4; ++r)
                part[r] = fma(at[r * width + p.left], p.right == ONE ? R(1) : at[r * width + p.right], part[r]);
        }
        for (; from < to; ++from, at += width) part[0] = fma(at[p.left], p.right == ONE ? R(1) : at[p.right], part[0]);
        from = next;
    }
    sums[blockIdx.y * count + k] = (part[0] + part[1]) + (part[2] + part[3]);
}

extern "C" __global__ void __launch_bounds__(128)
sum_products_f32(const float *factors, u64 rows, u64 width, const Product *products, u64 count, u64 slice, double *sums, const Used *used,
                 u64 longest) {
    sum_products(factors, rows, width, products, count, slice, sums, used, longest);
}

extern "C" __global__ void __launch_bounds__(128)
sum_products_f64(const double *factors, u64 rows, u64 width, const Product *products, u64 count, u64 slice, double *sums, const Used *used,
                 u64 longest) {
    sum_products(factors, rows, width, products, count, slice, sums, used, longest);
}

// Adds the sums over all slices, in their order.
extern "C" __global__ void __launch_bounds__(128)
sum_slices(const double *sums, u64 slices, u64 count, double *totals) {
    const u64 k = thread();
    if (k >= count) return;
    double total = totals[k];
    for (u64 slice = 0; slice < slices; ++slice) total += sums[slice * count + k];
    totals[k] = total;
}

// Adds to each step of the blocks, those that `chosen` lists or all, or with `first` writes, for each j the sum of the numbers in its row of
// `out` [blocks, rows, width] at the places `places[from[j]..from[j + 1]]`, by a warp in a fixed order.
template <class R>
INLINE void add_listed(R *all, const Block *blocks, const u32 *chosen, u64 count, u64 rows, const R *out, u64 width, const u32 *from,
                       const u32 *places, u64 sums, u64 first) {
    const u64 k = thread() / 32;
    if (k >= count * rows * sums) return;
    const u32 lane = threadIdx.x % 32, j = (u32)(k % sums);
    const u64 i = k / sums / rows, t = k / sums % rows;
    const Block block = blocks[chosen ? chosen[i] : i];
    if (t >= block.len) return;
    const R *row = out + k / sums * width;
    R sum = 0;
    for (u32 p = from[j] + lane; p < from[j + 1]; p += 32) sum += row[places[p]];
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(ALL, sum, lanes);
    if (lane > 0) return;
    R *at = all + (block.state + t) * sums + j;
    *at = first ? sum : *at + sum;
}

extern "C" __global__ void __launch_bounds__(128)
add_listed_f32(float *all, const Block *blocks, const u32 *chosen, u64 count, u64 rows, const float *out, u64 width, const u32 *from,
               const u32 *places, u64 sums, u64 first) {
    add_listed(all, blocks, chosen, count, rows, out, width, from, places, sums, first);
}

extern "C" __global__ void __launch_bounds__(128)
add_listed_f64(double *all, const Block *blocks, const u32 *chosen, u64 count, u64 rows, const double *out, u64 width,
               const u32 *from, const u32 *places, u64 sums, u64 first) {
    add_listed(all, blocks, chosen, count, rows, out, width, from, places, sums, first);
}
