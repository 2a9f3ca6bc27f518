// Sweeps over blocks of time: one thread rolls one block, or one part of it, where a step falls into parts that do not depend on
// each other. Parts are next to each other in a warp, as their components are in memory.
//
// These are templates. A line `@name operands;` in the PTX is a marker, which the host replaces by instructions
// made from the graph of a step, for the components of its state, held in registers: `x` the state, `size` how
// large each component lately was, `v` columns of a derivative. The text for each marker is described in
// backends/cuda/emit. Nothing here depends on the number of components or on the precision: states and inputs are
// `state_bytes` and `input_bytes` apart.
#include "sweeps.cuh"

// Rolls a block from x and stores its states; with `merge`, until it meets what is stored. Returns the steps.
INLINE u32 roll_block(const Arguments &a, const Block block, bool merge, double &met) {
    char *x = a.states + block.state * a.state_bytes;
    const char *u = a.inputs + block.input * a.input_bytes;
    CLEAR_SIZES;
    met = 0.0;
    u32 t = 0, look = TILE;
    if (block.len > 0) LOAD_INPUTS(u);
#pragma unroll 1
    while (t < block.len) {
        NEXT_INPUTS(t + 1 < block.len ? u + a.input_bytes : u);
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
    const bool several = chunk.len > block;
    // Where the next chunk starts.
    const char *next = a.states + (chunk.state + chunk.len - 1) * a.state_bytes;
    double largest;
    const u32 converged =
        linearize_chunk(a, chunk, starts + i * a.state_bytes, next, (u32)block, group, (u32)columns, factor, largest);
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
    replay_chunk(a, chunks[i], old + i * a.state_bytes, starts + i * a.state_bytes, (u32)block, factor);
}
