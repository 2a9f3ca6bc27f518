//! Permutations of a state's components.

use rustc_hash::FxHashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// An order of the components of a state, as cheap to copy as a reference.
///
/// Each order is kept once, for as long as the program runs: there are as many as recurrences with different ones.
#[derive(Clone, Copy)]
pub struct Order(&'static Table);

#[derive(PartialEq, Eq, Hash)]
struct Table {
    /// The component at each place.
    components: Vec<u32>,
    /// The place of each component.
    places: Vec<u32>,
}

static TABLES: Mutex<Option<FxHashSet<&'static Table>>> = Mutex::new(None);

impl Order {
    /// Of a permutation of `0..n`: the component at each place.
    pub(crate) fn new(components: Vec<u32>) -> Self {
        let mut places = vec![0; components.len()];
        for (place, &component) in components.iter().enumerate() {
            places[component as usize] = place as u32;
        }
        let table = Table { components, places };
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        let tables = tables.get_or_insert_default();
        if let Some(&known) = tables.get(&table) {
            return Self(known);
        }
        let kept: &'static Table = Box::leak(Box::new(table));
        tables.insert(kept);
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
        self.0.hash(state);
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0.components).finish()
    }
}
