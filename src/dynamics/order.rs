//! Permutations of a state's components, and the blocks that they come in.

use super::packing;
use super::structure::{Row, Structure};
use rustc_hash::FxHashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, OnceLock, PoisonError};

/// An order of the components of a state, one block of them after the other, as cheap to copy as a reference.
///
/// Each order is kept once, for as long as the program runs: there are as many as recurrences with different ones.
#[derive(Clone, Copy)]
pub struct Order(&'static Table);

struct Table {
    /// The component at each place.
    components: Vec<u32>,
    /// The place of each component.
    places: Vec<u32>,
    /// The row of a compact Jacobian at each place.
    rows: Vec<Row>,
    blocks: Vec<u32>,
    /// Components of the largest block, and entries of all.
    largest: usize,
    entries: usize,
    equal: OnceLock<Structure>,
}

/// Components at each place, and the places where blocks begin.
type Key = (Vec<u32>, Vec<u32>);

static TABLES: Mutex<Option<FxHashMap<Key, &'static Table>>> = Mutex::new(None);

impl Order {
    /// Of a permutation of `0..n`, cut into blocks, none of them empty.
    pub(crate) fn new(blocks: &[Vec<u32>]) -> Self {
        let components = blocks.concat();
        let mut rows = Vec::with_capacity(components.len());
        let mut begins = Vec::with_capacity(blocks.len());
        let mut entry = 0;
        for block in blocks {
            let (start, size) = (rows.len(), block.len());
            begins.push(start as u32);
            rows.extend((0..size).map(|row| Row { start, size, entry: entry + row * size }));
            entry += size * size;
        }
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        let tables = tables.get_or_insert_default();
        let key = (components, begins);
        if let Some(&known) = tables.get(&key) {
            return Self(known);
        }
        let mut places = vec![0; rows.len()];
        for (place, &component) in key.0.iter().enumerate() {
            places[component as usize] = place as u32;
        }
        let kept: &'static Table = Box::leak(Box::new(Table {
            components: key.0.clone(),
            places,
            rows,
            blocks: key.1.clone(),
            largest: blocks.iter().map(Vec::len).max().unwrap_or(0),
            entries: entry,
            equal: OnceLock::new(),
        }));
        tables.insert(key, kept);
        Self(kept)
    }

    /// How many components there are.
    #[allow(clippy::len_without_is_empty, reason = "a state has components")]
    pub fn len(self) -> usize {
        self.0.components.len()
    }

    /// The component at `place`.
    #[inline(always)]
    pub fn component(self, place: usize) -> usize {
        self.0.components[place] as usize
    }

    /// The place of `component`.
    #[inline(always)]
    pub fn place(self, component: usize) -> usize {
        self.0.places[component] as usize
    }

    /// How many blocks there are.
    pub fn blocks(self) -> usize {
        self.0.blocks.len()
    }

    /// Components of the largest block.
    #[inline(always)]
    pub fn largest(self) -> usize {
        self.0.largest
    }

    /// Entries of all blocks together.
    #[inline(always)]
    pub(super) fn entries(self) -> usize {
        self.0.entries
    }

    /// The first place of `block`.
    #[inline(always)]
    pub(super) fn start(self, block: usize) -> usize {
        self.0.blocks[block] as usize
    }

    /// The row at `place`.
    #[inline(always)]
    pub(super) fn row(self, place: usize) -> Row {
        self.0.rows[place]
    }

    /// The components in blocks of one size that hold these.
    pub(super) fn in_equal_blocks(self) -> Structure {
        *self.0.equal.get_or_init(|| packing::in_equal_blocks(&self.components_of_blocks()))
    }

    fn components_of_blocks(self) -> Vec<Vec<u32>> {
        let Table { components, blocks, rows, .. } = self.0;
        let block = |&start: &u32| {
            let start = start as usize;
            components[start..start + rows[start].size].to_vec()
        };
        blocks.iter().map(block).collect()
    }
}

// A table is kept once: the same order is the same place in memory.
impl PartialEq for Order {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Order {}

impl Hash for Order {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.components.hash(state);
        self.0.blocks.hash(state);
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.components_of_blocks()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_order_is_kept_once() {
        let order = Order::new(&[vec![2, 0], vec![1]]);
        assert_eq!(order, Order::new(&[vec![2, 0], vec![1]]));
        assert_ne!(order, Order::new(&[vec![1], vec![0, 2]]));
        assert_ne!(order, Order::new(&[vec![2], vec![0, 1]]));
        assert_eq!((order.len(), order.blocks(), order.largest(), order.entries()), (3, 2, 2, 5));
        assert_eq!(format!("{order:?}"), "[[2, 0], [1]]");
        (0..3).for_each(|place| assert_eq!(order.place(order.component(place)), place));
    }
}
