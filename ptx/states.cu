// Moving states about, whatever their precision: words of 4 bytes.
#include "block.cuh"

// out[i] = states[places[i]], each of `words` words.
extern "C" __global__ void __launch_bounds__(128)
gather(const u32 *states, const u64 *places, u64 count, u64 words, u32 *out) {
    const u64 i = thread();
    if (i >= count * words) return;
    out[i] = states[places[i / words] * words + i % words];
}

// states[places[i]] = from[i]
extern "C" __global__ void __launch_bounds__(128)
scatter(u32 *states, const u64 *places, u64 count, u64 words, const u32 *from) {
    const u64 i = thread();
    if (i >= count * words) return;
    states[places[i / words] * words + i % words] = from[i];
}

// to[b, t] = rows[b] for each of `steps` steps.
extern "C" __global__ void __launch_bounds__(128)
repeat(const u32 *rows, u64 steps, u64 batch, u64 words, u32 *to) {
    const u64 i = thread();
    if (i >= batch * steps * words) return;
    to[i] = rows[i / (steps * words) * words + i % words];
}

// The first step of each sequence with a number that is not finite: numbers are `wide` words long, a state has `words` words.
// `first` is at first larger than any step.
extern "C" __global__ void __launch_bounds__(128)
first_non_finite(const u32 *states, u64 steps, u64 batch, u64 words, u64 wide, u32 *first) {
    const u64 i = thread();
    if (i >= batch * steps * words / wide) return;
    // The exponent is in the upper word.
    const u32 upper = states[i * wide + wide - 1];
    const u32 exponent = wide == 2 ? 0x7ff00000u : 0x7f800000u;
    if ((upper & exponent) != exponent) return;
    const u64 step = i * wide / words;
    atomicMin(&first[step / steps], (u32)(step % steps));
}

// Cuts every sequence into blocks of `len` steps: `first` has the number of the first block of each of the `batch` sequences,
// `steps` their lengths.
extern "C" __global__ void __launch_bounds__(128)
cut(const u64 *first, const u64 *steps, u64 batch, u64 count, u64 len, u64 max_steps, Block *blocks) {
    const u64 i = thread();
    if (i >= count) return;
    // The last sequence that begins at or before the block.
    u64 low = 0, high = batch;
    while (high - low > 1) {
        const u64 middle = (low + high) / 2;
        if (first[middle] <= i) low = middle; else high = middle;
    }
    const u64 start = (i - first[low]) * len, left = steps[low] - start, place = low * max_steps + start;
    const bool last = left <= len;
    blocks[i] = {place, place, (u32)(last ? left : len), (last ? LAST : 0u) | (start == 0 ? FIRST : 0u)};
}

// Opens every block, to start from its sequence's initial state; with `guessed`, from the state stored before it.
extern "C" __global__ void __launch_bounds__(128)
open_whole(const u32 *states, const Block *blocks, u64 count, u64 words, const u32 *initial, u64 max_steps, u32 *next, u32 *open,
           u64 guessed) {
    const u64 i = thread();
    if (i >= count * words) return;
    const u64 own = i / words, word = i % words;
    const Block block = blocks[own];
    const bool first = block.flags & FIRST;
    next[i] = guessed && !first ? states[(block.state - 1) * words + word] : initial[block.state / max_steps * words + word];
    if (word == 0) open[own] = 1;
}

// Stores as the state before each block the one that it was started from.
extern "C" __global__ void __launch_bounds__(128)
settle_whole(u32 *states, const Block *blocks, u64 count, u64 words, const u32 *starts) {
    const u64 i = thread();
    if (i >= count * words) return;
    const Block block = blocks[i / words];
    if (!(block.flags & FIRST)) states[(block.state - 1) * words + i % words] = starts[i];
}
