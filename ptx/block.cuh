// A block of time, as backends/cuda/trajectory.rs writes it.
#pragma once
#include "device.cuh"

// Where its inputs and states begin, in steps from the start of the arrays, and its length.
struct Block {
    u64 input, state;
    u32 len, flags;
};
// Flags: the block is the last, the first of its sequence.
enum : u32 { LAST = 1, FIRST = 2 };
