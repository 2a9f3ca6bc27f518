// What a kernel of a cell is to do with blocks of time, besides rolling them: `starts` are always there, the rest may be null.
#pragma once
#include "agreement.cuh"
#include "rolling.cuh"

template <class R> struct Task {
  const R *starts;   // [blocks, n], what each block starts from
  const u32 *open;   // which blocks are rolled: without it, all
  R *started;        // [blocks, n], takes the starts of those that are
  Rolled *rolled;    // of each block, zero before
  Tally *tally;      // of all blocks, zero before
  u64 merge;         // whether a block ends where it meets what is stored

  __device__ __forceinline__ bool includes(u64 i) const { return !open || open[i]; }

  // A thread of block `i` was so near where the block met what is stored.
  __device__ __forceinline__ void note(u64 i, R met) const {
    if (rolled) raise(&rolled[i].residual, order(met));
    if (tally) raise(&tally->met, order(met));
  }
  // By one thread of the block.
  __device__ __forceinline__ void count(u64 i, u32 steps) const {
    if (rolled) rolled[i].steps = steps;
    if (tally) atomicAdd(&tally->steps, u64(steps));
  }
};
