//! Which outputs depend on what, and the block structure that follows.

use super::{Graph, Op};
use crate::dynamics::Structure;

/// Most bits for all nodes together; larger graphs count as dense.
const MOST_BITS: usize = 1 << 32;

/// For each output the leaves that it depends on, ascending, by the index that `leaf` gives to those
/// that count (below `state_dim`).
pub(super) fn dependence(graph: &Graph, leaf: impl Fn(Op) -> Option<usize>) -> Vec<Vec<usize>> {
    let n = graph.leaves.state;
    let words = n.div_ceil(64);
    if graph.nodes.len() * words * 64 > MOST_BITS {
        return vec![(0..n).collect(); graph.outputs.len()];
    }
    let mut sets = vec![0u64; graph.nodes.len() * words];
    for (id, op) in graph.nodes.iter().enumerate() {
        let (before, own) = sets.split_at_mut(id * words);
        if let Some(i) = leaf(*op) {
            own[i / 64] |= 1 << (i % 64);
        }
        for operand in op.operands() {
            for (own, other) in own.iter_mut().zip(&before[operand as usize * words..][..words]) {
                *own |= other;
            }
        }
    }
    let has = |output: u32, i: usize| sets[output as usize * words + i / 64] >> (i % 64) & 1 == 1;
    graph.outputs.iter().map(|&output| (0..n).filter(|&i| has(output, i)).collect()).collect()
}

/// The narrowest structure that a Jacobian with these nonzeros in each row has.
pub(crate) fn structure_of(sparsity: &[Vec<usize>]) -> Structure {
    let n = sparsity.len();
    let fits = |structure: Structure| {
        let place = |i: usize| match structure {
            Structure::Blocks { size, interleaved: true } => i % (n / size),
            Structure::Blocks { size, interleaved: false } => i / size,
            _ => i,
        };
        sparsity.iter().enumerate().all(|(i, row)| row.iter().all(|&j| place(i) == place(j)))
    };
    if n > 1 && fits(Structure::Diagonal) {
        return Structure::Diagonal;
    }
    (2..n)
        .filter(|size| n.is_multiple_of(*size))
        .flat_map(|size| [false, true].map(|interleaved| Structure::Blocks { size, interleaved }))
        .find(|&structure| fits(structure))
        .unwrap_or(Structure::Dense)
}
