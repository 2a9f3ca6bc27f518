//! Which outputs depend on what, and the block structure that follows.

use super::{Graph, Op};
use crate::dynamics::{Order, Structure};

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
        let size = structure.block_size(n);
        let block = |i: usize| structure.place(n, i) / size;
        sparsity.iter().enumerate().all(|(i, row)| row.iter().all(|&j| block(i) == block(j)))
    };
    if n > 1 && fits(Structure::Diagonal) {
        return Structure::Diagonal;
    }
    let coupled = coupled(sparsity);
    let largest = coupled.first().map_or(1, Vec::len).max(2);
    for size in (largest..n).filter(|size| n.is_multiple_of(*size)) {
        let regular = [false, true].map(|interleaved| Structure::Blocks { size, interleaved });
        if let Some(structure) = regular.into_iter().find(|&structure| fits(structure)) {
            return structure;
        }
        if let Some(components) = pack(&coupled, size) {
            return Structure::Permuted { size, order: Order::new(components) };
        }
    }
    Structure::Dense
}

/// The components in sets that do not depend on each other, the largest first, each ascending.
fn coupled(sparsity: &[Vec<usize>]) -> Vec<Vec<usize>> {
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
        sets[root(&mut parents, i)].push(i);
    }
    sets.retain(|set| !set.is_empty());
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    sets
}

/// The components of blocks of `size`, one after the other, each made up of whole sets. Fills one block after the other, with
/// the largest set that is left first: none where a block cannot be filled so.
fn pack(sets: &[Vec<usize>], size: usize) -> Option<Vec<u32>> {
    let mut left: Vec<&Vec<usize>> = sets.iter().collect();
    let mut components = Vec::new();
    while !left.is_empty() {
        let chosen = fill(&left, size)?;
        let mut block: Vec<u32> =
            chosen.iter().flat_map(|&k| left[k].iter().map(|&i| i as u32)).collect();
        block.sort_unstable();
        components.extend(block);
        let mut place = 0;
        left.retain(|_| {
            place += 1;
            !chosen.contains(&(place - 1))
        });
    }
    Some(components)
}

/// Sets that together have `size` components, the first among them.
fn fill(sets: &[&Vec<usize>], size: usize) -> Option<Vec<usize>> {
    let rest = size.checked_sub(sets.first()?.len())?;
    // The set with which each sum up to `rest` was first reached.
    let mut last = vec![None; rest + 1];
    for (k, set) in sets.iter().enumerate().skip(1) {
        for sum in (set.len()..=rest).rev() {
            let before = sum - set.len();
            if last[sum].is_none() && (before == 0 || last[before].is_some()) {
                last[sum] = Some(k);
            }
        }
    }
    let mut chosen = vec![0];
    let mut sum = rest;
    while sum > 0 {
        let k: usize = last[sum]?;
        chosen.push(k);
        sum -= sets[k].len();
    }
    Some(chosen)
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

    fn components(sets: &[&[usize]]) -> Option<(usize, Vec<usize>)> {
        let n = sets.iter().map(|set| set.len()).sum();
        match structure_of(&cycles(sets)) {
            Structure::Permuted { size, order } => {
                let places = (0..n).map(|place| order.component(place));
                (0..n).for_each(|place| assert_eq!(order.place(order.component(place)), place));
                Some((size, places.collect()))
            }
            _ => None,
        }
    }

    #[test]
    fn coupled_components_share_a_block() {
        assert_eq!(components(&[&[0, 3], &[1, 4], &[2, 5]]), None, "interleaved");
        assert_eq!(components(&[&[0, 5], &[1, 2], &[3, 4]]), Some((2, vec![0, 5, 1, 2, 3, 4])));
        // Of unequal size: 3 and 2 + 1.
        assert_eq!(components(&[&[4, 0, 3], &[1, 5], &[2]]), Some((3, vec![0, 3, 4, 1, 2, 5])));
        // 4 + 2 and 3 + 3, where 4 + 1 + 1 is not to be.
        let sets: [&[usize]; 4] = [&[0, 1, 4, 6], &[2, 3, 5], &[7, 9, 11], &[8, 10]];
        assert_eq!(components(&sets).map(|(size, _)| size), Some(6));
        // 2 + 2 + 1: 5 has no divisor.
        assert_eq!(structure_of(&cycles(&[&[0, 2], &[1, 4], &[3]])), Structure::Dense);
    }

    #[test]
    fn the_same_order_is_kept_once() {
        let order = Order::new(vec![2, 0, 1]);
        assert_eq!(order, Order::new(vec![2, 0, 1]));
        assert_ne!(order, Order::new(vec![1, 0, 2]));
    }
}
