//! Time cut into blocks.

use crate::backend::Block;
use crate::scalar::Real;
use crate::sequences::Sequences;

/// Every sequence cut into blocks of `len` steps, its last block as short as need be, in the order of
/// sequences and time.
pub(crate) fn partition<R: Real>(problem: &Sequences<'_, R>, len: usize) -> Vec<Block> {
    cut(problem.all_steps(), len)
}

/// [`partition`] of sequences of `steps` steps.
pub(crate) fn cut(steps: &[usize], len: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (batch, &steps) in steps.iter().enumerate() {
        for start in (0..steps).step_by(len) {
            blocks.push(Block { batch, start, len: len.min(steps - start) });
        }
    }
    blocks
}

/// The length that gives about `groups` times `width` blocks, at least 1.
pub(super) fn length_for<R: Real>(
    problem: &Sequences<'_, R>,
    groups: usize,
    width: usize,
) -> usize {
    let per_sequence = (groups * width).div_ceil(problem.batch_size().max(1)).max(1);
    problem.max_steps().div_ceil(per_sequence).max(1)
}

/// How many groups of `width` blocks to cut `total` steps into, for blocks of about `wanted` steps: a power
/// of two, so that they share out evenly. For more than `many`, longer blocks are not traded in, below `LONG` steps a block.
pub(crate) fn groups_for(total: usize, width: usize, wanted: usize, many: usize) -> usize {
    const LONG: usize = 4096;
    let most = many.max(total / (width * LONG));
    let fitting = (total / (width * wanted.max(1))).clamp(1, most);
    let below = 1usize << fitting.ilog2();
    if fitting * fitting >= 2 * below * below { 2 * below } else { below }
}

/// Whether `block` begins where the one before it in the list ends.
pub(super) fn follows(blocks: &[Block], index: usize) -> bool {
    index > 0 && blocks[index].start > 0 && blocks[index - 1].batch == blocks[index].batch
}
