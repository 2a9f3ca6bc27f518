// What rolling blocks of time comes to, whatever rolls them.
#pragma once
#include "block.cuh"

// States and inputs, each so many bytes apart, and the tolerance.
struct Arguments {
    char *states;
    const char *inputs;
    u64 state_bytes, input_bytes;
    double atol, rtol;
};

// Steps after which a block looks whether it has met its old trajectory.
enum : u32 { TILE = 16 };

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
