//! Which outputs depend on what, and the block structure that follows.

use super::{Graph, Op};
use crate::dynamics::{Order, Structure, packing};

/// Most bits for all nodes together; larger graphs count as dense.
const MOST_BITS: u64 = 1 << 32;

/// For each output the leaves that it depends on, ascending, by the index that `leaf` gives to those
/// that count (below `state_dim`).
pub(super) fn dependence(graph: &Graph, leaf: impl Fn(Op) -> Option<usize>) -> Vec<Vec<usize>> {
    let n = graph.leaves.state;
    let words = n.div_ceil(64);
    if graph.nodes.len() as u64 * words as u64 * 64 > MOST_BITS {
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

/// The narrowest structure that a Jacobian with these nonzeros in each row has: blocks of one size that lie side by side or
/// interleaved where they are as small as blocks anywhere can be.
pub(crate) fn structure_of(sparsity: &[Vec<usize>]) -> Structure {
    let n = sparsity.len();
    let sets = coupled(sparsity);
    match sets.first().map_or(0, Vec::len) {
        size if size == n => Structure::Dense,
        1 => Structure::Diagonal,
        size => packing::regular(&sets, n, size)
            .unwrap_or_else(|| Structure::Permuted { order: Order::new(&sets) }),
    }
}

/// The components in sets that do not depend on each other, the largest first, each ascending.
fn coupled(sparsity: &[Vec<usize>]) -> Vec<Vec<u32>> {
    fn root(parents: &mut [usize], mut i: usize) -> usize {
        while parents[i] != i {
            parents[i] = parents[parents[i]];
            i = parents[i];
        }
        i
    }
    let mut parents: Vec<usize> = (0..sparsity.len()).collect();
    for (i, row) in sparsity.iter().enumerate() {
        for &j in row {
            let (a, b) = (root(&mut parents, i), root(&mut parents, j));
            parents[a.max(b)] = a.min(b);
        }
    }
    let mut sets = vec![Vec::new(); sparsity.len()];
    for i in 0..sparsity.len() {
        sets[root(&mut parents, i)].push(i as u32);
    }
    sets.retain(|set| !set.is_empty());
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of sets of coupled components, each a cycle.
    fn cycles(sets: &[&[usize]]) -> Vec<Vec<usize>> {
        let n = sets.iter().map(|set| set.len()).sum();
        let mut rows = vec![Vec::new(); n];
        for set in sets {
            for (k, &i) in set.iter().enumerate() {
                rows[i].push(set[(k + 1) % set.len()]);
            }
        }
        rows
    }

    #[test]
    fn coupled_components_share_a_block() {
        let found = |sets: &[&[usize]]| structure_of(&cycles(sets));
        let anywhere = |blocks: &[&[u32]]| {
            let blocks: Vec<Vec<u32>> = blocks.iter().map(|block| block.to_vec()).collect();
            Structure::Permuted { order: Order::new(&blocks) }
        };
        assert_eq!(found(&[&[0], &[1], &[2]]), Structure::Diagonal);
        assert_eq!(found(&[&[0, 1, 2]]), Structure::Dense);
        let pairs = |interleaved| Structure::Blocks { size: 2, interleaved };
        assert_eq!(found(&[&[0, 3], &[1, 4], &[2, 5]]), pairs(true));
        // 4 and 5 are alone, but side by side.
        assert_eq!(found(&[&[0, 1], &[2, 3], &[4], &[5]]), pairs(false));
        assert_eq!(found(&[&[0, 5], &[1, 2], &[3, 4]]), anywhere(&[&[0, 5], &[1, 2], &[3, 4]]));
        // Of unequal size, in any order, the largest first.
        assert_eq!(found(&[&[2], &[4, 0, 3], &[1, 5]]), anywhere(&[&[0, 3, 4], &[1, 5], &[2]]));
        assert_eq!(found(&[&[0, 2], &[1, 4], &[3]]), anywhere(&[&[0, 2], &[1, 4], &[3]]));
    }
}
