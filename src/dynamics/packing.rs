//! Sets of coupled components in blocks of one size.

use super::{Order, Structure};

/// The finest structure of `n` components in blocks of one size, each made up of whole sets.
pub(super) fn in_equal_blocks(sets: &[Vec<u32>]) -> Structure {
    let n = sets.iter().map(Vec::len).sum::<usize>();
    let largest = sets.iter().map(Vec::len).max().unwrap_or(n);
    for size in (largest..n).filter(|size| n.is_multiple_of(*size)) {
        if let Some(structure) = regular(sets, n, size) {
            return structure;
        }
        if let Some(blocks) = pack(sets, size) {
            return Structure::Permuted { order: Order::new(&blocks) };
        }
    }
    Structure::Dense
}

/// Blocks of `size`, side by side or interleaved, each made up of whole sets; none where there are no such.
pub(crate) fn regular(sets: &[Vec<u32>], n: usize, size: usize) -> Option<Structure> {
    if !n.is_multiple_of(size) {
        return None;
    }
    let fits = |structure: &Structure| {
        let block = |i: u32| structure.place(n, i as usize) / size;
        sets.iter().all(|set| set.iter().all(|&i| block(i) == block(set[0])))
    };
    [false, true].map(|interleaved| Structure::Blocks { size, interleaved }).into_iter().find(fits)
}

/// The components of blocks of `size`, one after the other, each made up of whole sets. Fills one block after the other, with
/// the largest set that is left first: none where a block cannot be filled so.
fn pack(sets: &[Vec<u32>], size: usize) -> Option<Vec<Vec<u32>>> {
    let mut left: Vec<&Vec<u32>> = sets.iter().collect();
    let mut blocks = Vec::new();
    while !left.is_empty() {
        let chosen = fill(&left, size)?;
        let mut block: Vec<u32> = chosen.iter().flat_map(|&k| left[k].iter().copied()).collect();
        block.sort_unstable();
        blocks.push(block);
        let mut place = 0;
        left.retain(|_| {
            place += 1;
            !chosen.contains(&(place - 1))
        });
    }
    Some(blocks)
}

/// Sets that together have `size` components, the first among them.
fn fill(sets: &[&Vec<u32>], size: usize) -> Option<Vec<usize>> {
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

    #[test]
    fn sets_are_packed() {
        let equal = |sets: &[&[u32]]| {
            let sets: Vec<Vec<u32>> = sets.iter().map(|set| set.to_vec()).collect();
            let order = Order::new(&sets);
            let structure = Structure::Permuted { order }.in_equal_blocks();
            // Each set is in one block.
            let size = structure.block_size(order.len());
            for set in sets {
                let block = |i: u32| structure.place(order.len(), i as usize) / size;
                assert!(set.iter().all(|&i| block(i) == block(set[0])), "{set:?}: {structure:?}");
            }
            structure
        };
        let permuted = |blocks: &[Vec<u32>]| Structure::Permuted { order: Order::new(blocks) };
        // 3 and 2 + 1.
        assert_eq!(equal(&[&[0, 3, 4], &[1, 5], &[2]]), permuted(&[vec![0, 3, 4], vec![1, 2, 5]]));
        // 4 + 2 and 3 + 3, where 4 + 1 + 1 is not to be.
        let sets: [&[u32]; 4] = [&[0, 1, 4, 6], &[2, 3, 5], &[7, 9, 11], &[8, 10]];
        assert_eq!(equal(&sets).block_size(12), 6);
        assert_eq!(
            equal(&[&[0, 1], &[2], &[3]]),
            Structure::Blocks { size: 2, interleaved: false }
        );
        // 5 has no divisor.
        assert_eq!(equal(&[&[0, 2], &[1, 4], &[3]]), Structure::Dense);
    }
}
