// Linear recurrences along a solved trajectory: tangents forwards, cotangents backwards. One thread runs over one block.
//
// Templates, as sweeps.cu: `x` is the state, `v` the tangent or cotangent. The step's graph is the one that `push_step` or
// `pull_step` needs.
#include "derivatives.cuh"

#define REGISTERS asm volatile("@registers;")
// As in sweeps.cu.
#define SPLIT(i, part) asm volatile("@split %0 %1;" : "+l"(i), "=r"(part)::"memory")
#define LOAD_STATE(at) asm volatile("@load_state %0;" ::"l"(at) : "memory")
#define LOAD_COLUMN(at) asm volatile("@load_column %0;" ::"l"(at) : "memory")
#define STORE_COLUMN(at) asm volatile("@store_column %0;" ::"l"(at) : "memory")
#define ADD_COLUMN(at) asm volatile("@add_column %0;" ::"l"(at) : "memory")
#define CLEAR_COLUMN asm volatile("@clear_column;" ::: "memory")
// Stores v, or with `add` adds it to what is there.
#define GIVE_COLUMN(at, add) asm volatile("@give_column %0 %1;" ::"l"(at), "r"(add) : "memory")
// size += sum of |v|
#define MEASURE_COLUMN(size) asm volatile("@measure_column %0;" : "+d"(size)::"memory")
// difference += sum of |x - stored|, magnitude += sum of |stored|
#define COMPARE_STATE(difference, magnitude, at) \
    asm volatile("@compare_state %0 %1 %2;" : "+d"(difference), "+d"(magnitude) : "l"(at) : "memory")
// x = f(x, u), v = its tangent, with the tangents of the inputs at `du`.
#define PUSH_STEP(u, du) asm volatile("@push_step %0 %1;" ::"l"(u), "l"(du) : "memory")
// x = f(x, u), v = cotangent of x. With `record` stores the cotangents of the inputs at `du`, or with `add` adds them to what is there;
// and stores at `factors` those whose products are the cotangents of the parameters, or adds up these products in registers.
#define PULL_STEP(u, du, factors, record, add) \
    asm volatile("@pull_step %0 %1 %2 %3 %4;" ::"l"(u), "l"(du), "l"(factors), "r"(record), "r"(add) : "memory")
// Adds these registers to what is at `sums`, and clears them; nothing where there are none.
#define FLUSH_SUMS(sums) asm volatile("@flush_sums %0;" ::"l"(sums) : "memory")

// Steps of which products are added up in registers: a multiple of TILE.
enum : u32 { FLUSH = 256 };

// Notes the size of a part's contribution to a tile; whether, with as large ones of all parts, it is lost in rounding beside what was
// there `before`.
static __device__ __forceinline__ bool settle(double size, double before, double *noted, const Sweep &s) {
    const double all = size * (double)s.parts;
    if (!s.first && (all <= before * s.negligible || all <= *s.largest * s.nothing)) return true;
    *noted = size;
    return false;
}

// Where the state before a block is.
static __device__ __forceinline__ const char *start(const Path &path, const Block &block) {
    return block.flags & FIRST ? path.initial + block.state / path.max_steps * path.state_bytes
                               : path.states + (block.state - 1) * path.state_bytes;
}

// Runs each block forwards from the tangent in `borders`, which it replaces by that of its last state; `given` are the tangents of the
// inputs, and what comes to the states is added to `out`.
extern "C" __global__ void __launch_bounds__(128) push(Path path, Sweep s) {
    REGISTERS;
    u64 i = thread();
    u32 part;
    SPLIT(i, part);
    if (i >= s.count) return;
    const u64 own = s.chosen ? s.chosen[i] : i;
    const Block block = s.blocks[own];
    double size = 0.0, difference = 0.0, magnitude = 0.0;
    char *border = s.borders + i * path.state_bytes;
    LOAD_COLUMN(border);
    if (!s.first) {
        MEASURE_COLUMN(size);
        // Nothing is handed on.
        if (size == 0.0) return;
        size = 0.0;
    }
    LOAD_STATE(start(path, block));
    const char *x = path.states + block.state * path.state_bytes;
    const char *u = path.inputs + block.input * path.input_bytes;
    const char *du = s.given + block.input * path.input_bytes;
    char *to = s.out + block.state * path.state_bytes;
#pragma unroll 1
    for (u32 t = 1; t <= block.len; ++t) {
        PUSH_STEP(u, du);
        if (s.first) COMPARE_STATE(difference, magnitude, x);
        // On from what is stored.
        LOAD_STATE(x);
        if (s.record) GIVE_COLUMN(to, (u32)!s.first);
        MEASURE_COLUMN(size);
        if (t % TILE == 0 || t == block.len) {
            const u32 tile = (t - 1) / TILE;
            if (s.record && settle(size, s.sizes[own * s.tiles + tile], &s.noted[(i * s.tiles + tile) * s.parts + part], s)) {
                CLEAR_COLUMN;
                break;
            }
            size = 0.0;
        }
        x += path.state_bytes;
        to += path.state_bytes;
        u += path.input_bytes;
        du += path.input_bytes;
    }
    STORE_COLUMN(border);
    if (s.first) s.swept[i * s.parts + part] = {difference, magnitude};
}

// Runs each block backwards from the cotangent in `borders` that the block after it gives to its last state, which it
// replaces by what it gives to the one before it; `given` are the cotangents of the states. What comes to the inputs is added to `out`,
// rows of `out_bytes` for each step of the trajectory, or stored there in rows for each of `rows` steps of the blocks. `factors` has rows of
// `factor_bytes` of factors for each of `factor_rows` steps of the blocks, or, if these are 0, a row of sums for each block.
extern "C" __global__ void __launch_bounds__(128)
pull(Path path, Sweep s, u64 rows, u64 out_bytes, char *factors, u64 factor_rows, u64 factor_bytes) {
    REGISTERS;
    u64 i = thread();
    u32 part;
    SPLIT(i, part);
    if (i >= s.count) return;
    const u64 own = s.chosen ? s.chosen[i] : i;
    const Block block = s.blocks[own];
    double size = 0.0, difference = 0.0, magnitude = 0.0;
    char *border = s.borders + i * path.state_bytes;
    LOAD_COLUMN(border);
    if (!s.first) {
        MEASURE_COLUMN(size);
        if (size == 0.0) return;
        size = 0.0;
    }
    char *sums = factors + own * factor_bytes;
#pragma unroll 1
    for (u32 t = block.len; t-- > 0;) {
        const u64 at = (block.state + t) * path.state_bytes;
        if (s.first) ADD_COLUMN(s.given + at);
        MEASURE_COLUMN(size);
        LOAD_STATE(t > 0 ? path.states + at - path.state_bytes : start(path, block));
        PULL_STEP(path.inputs + (block.input + t) * path.input_bytes, s.out + (rows ? i * rows + t : block.state + t) * out_bytes,
                  factors + (i * factor_rows + t) * factor_bytes, (u32)s.record, (u32)(!s.first && !rows));
        if (s.first) COMPARE_STATE(difference, magnitude, path.states + at);
        if (t % TILE == 0) {
            const u32 tile = t / TILE;
            const bool settled =
                s.record && settle(size, s.sizes[own * s.tiles + tile], &s.noted[(i * s.tiles + tile) * s.parts + part], s);
            if (s.record && (settled || t % FLUSH == 0)) FLUSH_SUMS(sums);
            if (settled) {
                CLEAR_COLUMN;
                break;
            }
            size = 0.0;
        }
    }
    STORE_COLUMN(border);
    if (s.first) s.swept[i * s.parts + part] = {difference, magnitude};
}
