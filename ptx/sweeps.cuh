// What the kernels that sweep have in common: the markers of a step, and rolling a chunk with its derivative.
#pragma once
#include "rolling.cuh"

#define REGISTERS asm volatile("@registers;")
// Of a thread's number the block in its place, and the number of its part.
#define SPLIT(i, part) asm volatile("@split %0 %1;" : "+l"(i), "=r"(part)::"memory")
#define BLOCK_OF(i) asm volatile("@split %0;" : "+l"(i)::"memory")
#define LOAD_STATE(at) asm volatile("@load_state %0;" ::"l"(at) : "memory")
#define STORE_STATE(at) asm volatile("@store_state %0;" ::"l"(at) : "memory")
#define CLEAR_SIZES asm volatile("@clear_sizes;" ::: "memory")
// size = max(size, |x|)
#define GROW_SIZES asm volatile("@grow_sizes;" ::: "memory")
// size = max(size * forgotten, |x|), without infinities
#define FADE_SIZES asm volatile("@fade_sizes;" ::: "memory")
// The inputs of the first step; then, before each step, those of the next one, so that they are there when it begins. Where there are many,
// both do nothing, and a step reads its own.
#define LOAD_INPUTS(u) asm volatile("@load_inputs %0;" ::"l"(u) : "memory")
#define NEXT_INPUTS(u) asm volatile("@next_inputs %0;" ::"l"(u) : "memory")
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
// The same with the first column alone.
#define CHANGE_STEP(u) asm volatile("@change_step %0;" ::"l"(u) : "memory")
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

struct Linearized {
    u64 residual;
    // Whether a part is not within the tolerance.
    u32 beyond, unused;
};

// Rolls the blocks of `block` steps in a chunk from `start` and from the states stored inside the chunk, stores the states inside of them,
// and leaves in registers the state at its end and the columns of its affine map, those of `group`. The borders are held against what
// is stored, and the end against `next`. Returns whether all agree, with the largest difference.
INLINE u32 linearize_chunk(const Arguments &a, const Block &chunk, const char *start, const char *next, u32 block, u32 group,
                           u32 columns, double factor, double &largest) {
    char *x = a.states + chunk.state * a.state_bytes;
    const char *u = a.inputs + chunk.input * a.input_bytes;
    LOAD_STATE(start);
    SEED_COLUMNS(group, columns);
    CLEAR_SIZES;
    largest = 0.0;
    u32 converged = 1, inside = block;
    LOAD_INPUTS(u);
#pragma unroll 1
    for (u32 t = 1;; ++t) {
        NEXT_INPUTS(t < chunk.len ? u + a.input_bytes : u);
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
                CHECK(within, residual, end ? next : x, a.atol, a.rtol);
                converged &= within;
                // A NaN is larger than any number.
                if (!(residual <= largest)) largest = residual;
            }
        }
        if (end) break;
        if (border) {
            inside = block;
            SCALE_COLUMNS(factor);
            CROSS_BORDER(x, group, columns);
        }
        x += a.state_bytes;
        u += a.input_bytes;
    }
    return converged;
}

// Moves the states at the borders inside a chunk, given the old and the new state before it.
INLINE void replay_chunk(const Arguments &a, const Block &chunk, const char *old, const char *start, u32 block, double factor) {
    char *x = a.states + chunk.state * a.state_bytes;
    const char *u = a.inputs + chunk.input * a.input_bytes;
    LOAD_STATE(old);
    LOAD_CHANGE(start);
    u32 inside = block;
    LOAD_INPUTS(u);
#pragma unroll 1
    for (u32 t = 1; t < chunk.len; ++t) {
        NEXT_INPUTS(u + a.input_bytes);
        CHANGE_STEP(u);
        if (--inside == 0) {
            inside = block;
            MOVE_BORDER(x, factor);
        }
        x += a.state_bytes;
        u += a.input_bytes;
    }
}
