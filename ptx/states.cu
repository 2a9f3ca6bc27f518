// Moving states about, whatever their precision: words of 4 bytes.
#include "device.cuh"

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
