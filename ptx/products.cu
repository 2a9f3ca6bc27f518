// Sums over time of products of factors: the cotangents of the parameters.
#include "device.cuh"

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
