// Sums: over time of products of factors, which are the cotangents of the parameters, over the parts of a state, and over sweeps.
#include "block.cuh"

// A right factor that is 1.
enum : u32 { ONE = 0xffffffffu };

struct Product {
    u32 left, right;
};

// Sums of the products over slices of the rows: `sums` is [slices, products], thread (product, slice).
template <class R>
INLINE void sum_products(const R *factors, u64 rows, u64 width, const Product *products, u64 count, u64 slice, double *sums) {
    const u64 k = thread();
    if (k >= count) return;
    const Product p = products[k];
    const u64 from = blockIdx.y * slice, to = from + slice < rows ? from + slice : rows;
    R sum = 0;
    for (u64 row = from; row < to; ++row) {
        const R *at = factors + row * width;
        sum = fma(at[p.left], p.right == ONE ? R(1) : at[p.right], sum);
    }
    sums[blockIdx.y * count + k] = sum;
}

extern "C" __global__ void __launch_bounds__(128)
sum_products_f32(const float *factors, u64 rows, u64 width, const Product *products, u64 count, u64 slice, double *sums) {
    sum_products(factors, rows, width, products, count, slice, sums);
}

extern "C" __global__ void __launch_bounds__(128)
sum_products_f64(const double *factors, u64 rows, u64 width, const Product *products, u64 count, u64 slice, double *sums) {
    sum_products(factors, rows, width, products, count, slice, sums);
}

// The sums over all slices, in their order.
extern "C" __global__ void __launch_bounds__(128)
sum_slices(const double *sums, u64 slices, u64 count, double *totals) {
    const u64 k = thread();
    if (k >= count) return;
    double total = 0.0;
    for (u64 slice = 0; slice < slices; ++slice) total += sums[slice * count + k];
    totals[k] = total;
}

// out[row, j] is the sum of the numbers of a row, of `width`, at the places `places[from[j]..from[j + 1]]`, by a warp for each in a
// fixed order.
template <class R>
INLINE void sum_listed(const R *all, u64 rows, u64 width, const u32 *from, const u32 *places, u64 count, R *out) {
    const u64 k = thread() / 32;
    if (k >= rows * count) return;
    const u32 lane = threadIdx.x % 32, j = (u32)(k % count);
    const R *row = all + k / count * width;
    R sum = 0;
    for (u32 i = from[j] + lane; i < from[j + 1]; i += 32) sum += row[places[i]];
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
    if (lane == 0) out[k] = sum;
}

extern "C" __global__ void __launch_bounds__(128)
sum_listed_f32(const float *all, u64 rows, u64 width, const u32 *from, const u32 *places, u64 count, float *out) {
    sum_listed(all, rows, width, from, places, count, out);
}

extern "C" __global__ void __launch_bounds__(128)
sum_listed_f64(const double *all, u64 rows, u64 width, const u32 *from, const u32 *places, u64 count, double *out) {
    sum_listed(all, rows, width, from, places, count, out);
}

// Sums over the parts of [count, parts, width], in their order.
extern "C" __global__ void __launch_bounds__(128)
sum_parts(const double *all, u64 count, u64 parts, u64 width, double *sums) {
    const u64 k = thread();
    if (k >= count * width) return;
    const double *at = all + k / width * parts * width + k % width;
    double sum = 0.0;
    for (u64 part = 0; part < parts; ++part) sum += at[part * width];
    sums[k] = sum;
}

// Adds to each step of the blocks, or with `first` writes, its row of `out` [blocks, rows, width].
template <class R>
INLINE void add_rows(R *all, const Block *blocks, u64 count, u64 rows, u64 width, const R *out, u64 first) {
    const u64 k = thread();
    if (k >= count * rows * width) return;
    const Block block = blocks[k / (rows * width)];
    const u64 t = k / width % rows;
    if (t >= block.len) return;
    R *at = all + (block.state + t) * width + k % width;
    *at = first ? out[k] : *at + out[k];
}

extern "C" __global__ void __launch_bounds__(128)
add_rows_f32(float *all, const Block *blocks, u64 count, u64 rows, u64 width, const float *out, u64 first) {
    add_rows(all, blocks, count, rows, width, out, first);
}

extern "C" __global__ void __launch_bounds__(128)
add_rows_f64(double *all, const Block *blocks, u64 count, u64 rows, u64 width, const double *out, u64 first) {
    add_rows(all, blocks, count, rows, width, out, first);
}
