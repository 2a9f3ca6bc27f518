// Sweeps over blocks of time: one thread rolls one block, or one part of it, where a step falls into parts that do not depend on
// each other. Parts are next to each other in a warp, as their components are in memory.
//
// These are templates. A line `@name operands;` in the PTX is a marker, which the host replaces by instructions
// made from the graph of a step, for the components of its state, held in registers: `x` the state, `size` how
// large each component lately was, `v` columns of a derivative. The text for each marker is described in
// backends/cuda/emit. Nothing here depends on the number of components or on the precision: states and inputs are
// `state_bytes` and `input_bytes` apart.
#include "block.cuh"

#define REGISTERS asm volatile("@registers;")
// Of a thread's number the block in its place, and the number of its part.
#define SPLIT(i, part) asm volatile("@split %0 %1;" : "+l"(i), "=r"(part)::"memory")
#define BLOCK_OF(i) asm volatile("@split %0;" : "+l"(i)::"memory")
#define LOAD_STATE(at) asm volatile("@load_state %0;" ::"l"(at) : "memory")
#define STORE_STATE(at) asm volatile("@store_state %0;" ::"l"(at) : "memory")
#define STORE_SIZES(at) asm volatile("@store_sizes %0;" ::"l"(at) : "memory")
#define CLEAR_SIZES asm volatile("@clear_sizes;" ::: "memory")
// size = max(size, |x|)
#define GROW_SIZES asm volatile("@grow_sizes;" ::: "memory")
// size = max(size * forgotten, |x|), without infinities
#define FADE_SIZES asm volatile("@fade_sizes;" ::: "memory")
#define STEP(u) asm volatile("@step %0;" ::"l"(u) : "memory")
// Whether x agrees with the state stored at `at`, and the largest difference.
#define MEET(within, residual, at, atol, rtol) \
    asm volatile("@meet %0 %1 %2 %3 %4;" : "=r"(within), "=d"(residual) : "l"(at), "d"(atol), "d"(rtol) : "memory")
// The same, but numbers that are not finite never agree, and make the difference NaN.
#define CHECK(within, residual, at, atol, rtol) \
    asm volatile("@check %0 %1 %2 %3 %4;" : "=r"(within), "=d"(residual) : "l"(at), "d"(atol), "d"(rtol) : "memory")
// Columns `group * G ..` of those that a map has, G in a thread; column `columns` is the offset.
#define SEED_COLUMNS(group, columns) asm volatile("@seed_columns %0 %1;" ::"r"(group), "r"(columns) : "memory")
// x and its columns one step on.
#define LINEAR_STEP(u) asm volatile("@linear_step %0;" ::"l"(u) : "memory")
#define SCALE_COLUMNS(factor) asm volatile("@scale_columns %0;" ::"d"(factor) : "memory")
// offset += x - stored; x = stored
#define CROSS_BORDER(at, group, columns) \
    asm volatile("@cross_border %0 %1 %2;" ::"l"(at), "r"(group), "r"(columns) : "memory")
#define STORE_COLUMNS(map, group, columns) \
    asm volatile("@store_columns %0 %1 %2;" ::"l"(map), "r"(group), "r"(columns) : "memory")
// x + factor * offset where that is finite, else x, by the thread that has the offset.
#define STORE_END(at, group, columns, factor) \
    asm volatile("@store_end %0 %1 %2 %3;" ::"l"(at), "r"(group), "r"(columns), "d"(factor) : "memory")
// v = state at `at` - x
#define LOAD_CHANGE(at) asm volatile("@load_change %0;" ::"l"(at) : "memory")
// moved = x + factor * v where that is finite, else x; v = moved - stored; x = stored; stores moved
#define MOVE_BORDER(at, factor) asm volatile("@move_border %0 %1;" ::"l"(at), "d"(factor) : "memory")

// Steps after which a block looks whether it has met its old trajectory.
enum : u32 { TILE = 16 };

struct Arguments {
    char *states;
    const char *inputs;
    u64 state_bytes, input_bytes;
    double atol, rtol;
};

// What parts come to is put together: all of these are zero before. Residuals are the bits of numbers that are not negative, which
// have the order of the numbers, with NaN above them.
struct Rolled {
    u64 residual;
    u32 steps, unused;
};

// What a sweep over all blocks came to: `steps` are those of all parts.
struct Tally {
    u64 steps, open;
    u64 met, residual, all;
};

INLINE u64 order(double x) { return (u64)__double_as_longlong(x) & 0x7fffffffffffffffull; }

// The same as atomicMax. A look before spares most of the many threads that come to one place from waiting for each other.
template <class T> INLINE void raise(T *to, T value) {
    if (value > *(const volatile T *)to) atomicMax(to, value);
}

struct Linearized {
    u64 residual;
    // Whether a part is not within the tolerance.
    u32 beyond, unused;
};

// Rolls a block from x and stores its states; with `merge`, until it meets what is stored. Returns the steps.
INLINE u32 roll_block(const Arguments &a, const Block &block, bool merge, double &met) {
    char *x = a.states + block.state * a.state_bytes;
    const char *u = a.inputs + block.input * a.input_bytes;
    CLEAR_SIZES;
    met = 0.0;
    u32 t = 0, look = TILE;
#pragma unroll 1
    while (t < block.len) {
        STEP(u);
        GROW_SIZES;
        if (++t == look) {
            // At the end nothing is left to save, and a state that was kept there would be held against the next
            // block's start a second time.
            if (merge && t < block.len) {
                u32 within;
                double residual;
                MEET(within, residual, x, a.atol, a.rtol);
                if (within) {
                    met = residual;
                    break;
                }
            }
            look += TILE;
            CLEAR_SIZES;
        }
        STORE_STATE(x);
        x += a.state_bytes;
        u += a.input_bytes;
    }
    return t;
}

// Rolls each block from its state in `starts`.
extern "C" __global__ void __launch_bounds__(128)
roll(Arguments a, const Block *blocks, u64 count, const char *starts, Rolled *rolled, u64 merge) {
    REGISTERS;
    u64 i = thread();
    BLOCK_OF(i);
    if (i >= count) return;
    LOAD_STATE(starts + i * a.state_bytes);
    double met;
    const u32 steps = roll_block(a, blocks[i], merge != 0, met);
    raise(&rolled[i].residual, order(met));
    raise(&rolled[i].steps, steps);
}

// Opens every block, to start from its sequence's initial state; with `guessed`, from the state stored before it.
extern "C" __global__ void __launch_bounds__(128)
open_all(Arguments a, const Block *blocks, u64 count, const char *initial, u64 max_steps, char *next, u32 *open,
         u64 parts, u64 guessed) {
    REGISTERS;
    u64 i = thread();
    u32 part;
    SPLIT(i, part);
    if (i >= count) return;
    const Block block = blocks[i];
    if (guessed && !(block.flags & FIRST)) {
        LOAD_STATE(a.states + (block.state - 1) * a.state_bytes);
    } else {
        LOAD_STATE(initial + block.state / max_steps * a.state_bytes);
    }
    STORE_STATE(next + i * a.state_bytes);
    open[i * parts + part] = 1;
}

// Rolls the open blocks, part by part, from their states in `next`, which become what they were started from.
extern "C" __global__ void __launch_bounds__(128)
roll_open(Arguments a, const Block *blocks, u64 count, const char *next, char *starts, const u32 *open, u64 parts,
          Tally *tally, u64 merge) {
    REGISTERS;
    u64 i = thread();
    u32 part;
    SPLIT(i, part);
    if (i >= count || !open[i * parts + part]) return;
    LOAD_STATE(next + i * a.state_bytes);
    STORE_STATE(starts + i * a.state_bytes);
    double met;
    const u32 steps = roll_block(a, blocks[i], merge != 0, met);
    atomicAdd(&tally->steps, (u64)steps);
    raise(&tally->met, order(met));
}

// Opens the blocks that were not started from the state now stored before them, and hands them that. `any` has for each block whether a
// part of it is open, zero before.
extern "C" __global__ void __launch_bounds__(128)
look(Arguments a, const Block *blocks, u64 count, const char *starts, char *next, u32 *open, u64 parts, u32 *any,
     Tally *tally, u64 window, u64 max_steps) {
    REGISTERS;
    u64 i = thread();
    u32 part;
    SPLIT(i, part);
    if (i >= count) return;
    const Block block = blocks[i];
    open[i * parts + part] = 0;
    if (block.flags & FIRST) return;
    const char *before = a.states + (block.state - 1) * a.state_bytes, *start = starts + i * a.state_bytes;
    CLEAR_SIZES;
    LOAD_STATE(before);
    u32 within;
    double residual;
    MEET(within, residual, start, a.atol, a.rtol);
    if (!within) {
        // Most agree without a look at how large they lately were.
        u64 steps = block.state % max_steps;
        if (steps > window) steps = window;
        const char *x = before;
#pragma unroll 1
        for (u64 t = 0; t < steps; ++t) {
            LOAD_STATE(x);
            GROW_SIZES;
            x -= a.state_bytes;
        }
        LOAD_STATE(before);
        MEET(within, residual, start, a.atol, a.rtol);
    }
    if (!within) {
        CHECK(within, residual, start, a.atol, a.rtol);
        STORE_STATE(next + i * a.state_bytes);
        open[i * parts + part] = 1;
        if (atomicExch(&any[i], 1u) == 0) atomicAdd(&tally->open, 1ull);
        raise(&tally->residual, order(residual));
    }
    raise(&tally->all, order(residual));
}

// Stores as the state before each block the one that it was started from.
extern "C" __global__ void __launch_bounds__(128)
settle(Arguments a, const Block *blocks, u64 count, const char *starts) {
    REGISTERS;
    u64 i = thread();
    BLOCK_OF(i);
    if (i >= count || blocks[i].flags & FIRST) return;
    LOAD_STATE(starts + i * a.state_bytes);
    STORE_STATE(a.states + (blocks[i].state - 1) * a.state_bytes);
}

// Rolls the blocks of `block` steps in each chunk from the states stored before them, stores the states inside of them,
// and composes the chunk's affine map. Thread (chunk, group) has some of the columns. Of `indices`, if there are any, each is
// the number of a chunk.
extern "C" __global__ void __launch_bounds__(128)
linearize(Arguments a, const Block *chunks, u64 count, const u32 *indices, const char *starts, char *ends, char *maps, u64 map_bytes,
          Linearized *results, u64 block, u64 columns, double factor) {
    REGISTERS;
    u64 i = thread();
    BLOCK_OF(i);
    if (i >= count) return;
    if (indices) i = indices[i];
    const u32 group = blockIdx.y;
    const Block chunk = chunks[i];
    char *x = a.states + chunk.state * a.state_bytes;
    const char *u = a.inputs + chunk.input * a.input_bytes;
    const bool several = chunk.len > block;
    LOAD_STATE(starts + i * a.state_bytes);
    SEED_COLUMNS(group, (u32)columns);
    CLEAR_SIZES;
    double largest = 0.0;
    u32 converged = 1, inside = (u32)block;
#pragma unroll 1
    for (u32 t = 1;; ++t) {
        LINEAR_STEP(u);
        FADE_SIZES;
        const bool end = t == chunk.len, border = --inside == 0;
        if (group == 0) {
            // The state at the end of a sequence is at no border.
            if (end && chunk.flags & LAST || !end && !border) {
                STORE_STATE(x);
            } else {
                u32 within;
                double residual;
                CHECK(within, residual, x, a.atol, a.rtol);
                converged &= within;
                // A NaN is larger than any number.
                if (!(residual <= largest)) largest = residual;
            }
        }
        if (end) break;
        if (border) {
            inside = (u32)block;
            SCALE_COLUMNS(factor);
            CROSS_BORDER(x, group, (u32)columns);
        }
        x += a.state_bytes;
        u += a.input_bytes;
    }
    if (several) {
        STORE_END(ends + i * a.state_bytes, group, (u32)columns, factor);
    } else if (group == 0) {
        STORE_STATE(ends + i * a.state_bytes);
    }
    SCALE_COLUMNS(factor);
    STORE_COLUMNS(maps + i * map_bytes, group, (u32)columns);
    if (group == 0) {
        raise(&results[i].residual, order(largest));
        if (!converged) atomicExch(&results[i].beyond, 1u);
    }
}

// Moves the states at the borders inside each chunk, given the old and the new state before it.
extern "C" __global__ void __launch_bounds__(128)
replay(Arguments a, const Block *chunks, u64 count, const u32 *indices, const char *old, const char *starts, u64 block,
       double factor) {
    REGISTERS;
    u64 i = thread();
    BLOCK_OF(i);
    if (i >= count) return;
    if (indices) i = indices[i];
    const Block chunk = chunks[i];
    char *x = a.states + chunk.state * a.state_bytes;
    const char *u = a.inputs + chunk.input * a.input_bytes;
    LOAD_STATE(old + i * a.state_bytes);
    LOAD_CHANGE(starts + i * a.state_bytes);
    u32 inside = (u32)block;
#pragma unroll 1
    for (u32 t = 1; t < chunk.len; ++t) {
        LINEAR_STEP(u);
        if (--inside == 0) {
            inside = (u32)block;
            MOVE_BORDER(x, factor);
        }
        x += a.state_bytes;
        u += a.input_bytes;
    }
}

// The largest magnitude of each component over the last steps before each block.
extern "C" __global__ void __launch_bounds__(128)
sizes(Arguments a, const Block *blocks, u64 count, char *out, u64 window) {
    REGISTERS;
    u64 i = thread();
    BLOCK_OF(i);
    if (i >= count) return;
    // Here `len` is the number of steps of the sequence before the block.
    const u32 steps = blocks[i].len < window ? blocks[i].len : (u32)window;
    const char *x = a.states + blocks[i].state * a.state_bytes;
    CLEAR_SIZES;
#pragma unroll 1
    for (u32 t = 0; t < steps; ++t) {
        x -= a.state_bytes;
        LOAD_STATE(x);
        GROW_SIZES;
    }
    STORE_SIZES(out + i * a.state_bytes);
}
