// Linear recurrences along a solved trajectory: tangents forwards, cotangents backwards. One thread runs over one block.
//
// Templates, as sweeps.cu: `x` is the state, `v` the tangent or cotangent. The step's graph is the one that `push_step` or
// `pull_step` needs.
#include "block.cuh"

#define REGISTERS asm volatile("@registers;")
// As in sweeps.cu.
#define SPLIT(i, part) asm volatile("@split %0 %1;" : "+l"(i), "=r"(part)::"memory")
#define LOAD_STATE(at) asm volatile("@load_state %0;" ::"l"(at) : "memory")
#define LOAD_COLUMN(at) asm volatile("@load_column %0;" ::"l"(at) : "memory")
#define STORE_COLUMN(at) asm volatile("@store_column %0;" ::"l"(at) : "memory")
#define ADD_COLUMN(at) asm volatile("@add_column %0;" ::"l"(at) : "memory")
#define CLEAR_COLUMN asm volatile("@clear_column;" ::: "memory")
// size += sum of |v|
#define MEASURE_COLUMN(size) asm volatile("@measure_column %0;" : "+d"(size)::"memory")
// difference += sum of |x - stored|, magnitude += sum of |stored|
#define COMPARE_STATE(difference, magnitude, at) \
    asm volatile("@compare_state %0 %1 %2;" : "+d"(difference), "+d"(magnitude) : "l"(at) : "memory")
// x = f(x, u), v = its tangent, with the tangents of the inputs at `du`.
#define PUSH_STEP(u, du) asm volatile("@push_step %0 %1;" ::"l"(u), "l"(du) : "memory")
// x = f(x, u), v = cotangent of x; with `record` stores the cotangents of the inputs at `du`, and the factors whose products
// are the cotangents of the parameters.
#define PULL_STEP(u, du, factors, record) \
    asm volatile("@pull_step %0 %1 %2 %3;" ::"l"(u), "l"(du), "l"(factors), "r"(record) : "memory")

// Steps for which one size is kept.
enum : u32 { TILE = 16 };

struct Arguments {
    const char *states, *inputs;
    u64 state_bytes, input_bytes;
    // A size below this, or below this share of what is there, is lost in rounding.
    double floor, negligible;
};

struct Swept {
    double difference, magnitude;
};

// Notes the size of a part's contribution to a tile; whether, with as large ones of all `parts`, it is lost in rounding beside what was
// there `before`.
static __device__ __forceinline__ bool settle(double size, double before, double *noted, u64 parts, const Arguments &a, bool first) {
    const double all = size * (double)parts;
    if (!first && (all <= before * a.negligible || all <= a.floor)) return true;
    *noted = size;
    return false;
}

// Runs each block forwards from the tangent in `borders`, which it replaces by that of its last state. `out` has `rows`
// states, `sizes` `tiles` numbers for each block; what parts come to is `[blocks, tiles, parts]` and `[blocks, parts]`.
extern "C" __global__ void __launch_bounds__(128)
push(Arguments a, const Block *blocks, u64 count, const char *starts, char *borders, const char *given, char *out,
     u64 rows, const double *sizes, double *noted, u64 tiles, u64 parts, Swept *swept, u64 first, u64 record) {
    REGISTERS;
    u64 i = thread();
    u32 part;
    SPLIT(i, part);
    if (i >= count) return;
    const Block block = blocks[i];
    const char *x = a.states + block.state * a.state_bytes;
    const char *u = a.inputs + block.input * a.input_bytes;
    const char *du = given + block.input * a.input_bytes;
    char *to = out + i * rows * a.state_bytes;
    double size = 0.0, difference = 0.0, magnitude = 0.0;
    LOAD_STATE(starts + i * a.state_bytes);
    LOAD_COLUMN(borders + i * a.state_bytes);
#pragma unroll 1
    for (u32 t = 1; t <= block.len; ++t) {
        PUSH_STEP(u, du);
        if (first) COMPARE_STATE(difference, magnitude, x);
        // On from what is stored.
        LOAD_STATE(x);
        if (record) STORE_COLUMN(to);
        MEASURE_COLUMN(size);
        if (t % TILE == 0 || t == block.len) {
            const u64 tile = i * tiles + (t - 1) / TILE;
            if (record && settle(size, sizes[tile], &noted[tile * parts + part], parts, a, first)) {
                CLEAR_COLUMN;
                break;
            }
            size = 0.0;
        }
        x += a.state_bytes;
        to += a.state_bytes;
        u += a.input_bytes;
        du += a.input_bytes;
    }
    STORE_COLUMN(borders + i * a.state_bytes);
    swept[i * parts + part] = {difference, magnitude};
}

// Runs each block backwards from the cotangent in `borders` that the block after it gives to its last state, which it
// replaces by what it gives to the one before it. `out` has `rows` rows of `out_bytes`, `factors` as many of `factor_bytes`.
extern "C" __global__ void __launch_bounds__(128)
pull(Arguments a, const Block *blocks, u64 count, const char *starts, char *borders, const char *given, char *out,
     u64 rows, const double *sizes, double *noted, u64 tiles, u64 parts, Swept *swept, u64 first, u64 record, u64 out_bytes,
     char *factors, u64 factor_bytes) {
    REGISTERS;
    u64 i = thread();
    u32 part;
    SPLIT(i, part);
    if (i >= count) return;
    const Block block = blocks[i];
    double size = 0.0, difference = 0.0, magnitude = 0.0;
    LOAD_COLUMN(borders + i * a.state_bytes);
#pragma unroll 1
    for (u32 t = block.len; t-- > 0;) {
        const u64 at = (block.state + t) * a.state_bytes, row = i * rows + t;
        if (first) ADD_COLUMN(given + at);
        MEASURE_COLUMN(size);
        LOAD_STATE(t > 0 ? a.states + at - a.state_bytes : starts + i * a.state_bytes);
        PULL_STEP(a.inputs + (block.input + t) * a.input_bytes, out + row * out_bytes, factors + row * factor_bytes,
                  (u32)record);
        if (first) COMPARE_STATE(difference, magnitude, a.states + at);
        if (t % TILE == 0) {
            const u64 tile = i * tiles + t / TILE;
            if (record && settle(size, sizes[tile], &noted[tile * parts + part], parts, a, first)) {
                CLEAR_COLUMN;
                break;
            }
            size = 0.0;
        }
    }
    STORE_COLUMN(borders + i * a.state_bytes);
    swept[i * parts + part] = {difference, magnitude};
}
