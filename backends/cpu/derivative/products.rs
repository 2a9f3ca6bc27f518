//! Cotangents of θ: products of factors, summed over time like a product of matrices.

use super::{Group, STEPS};
use crate::graph::adjoint::{Adjoint, Right, Tile};
use crate::scalar::{Isa, Lanes, Real, Scalar};

/// One vector of a group.
type Single<R, I> = Lanes<R, I, 1>;

/// Products of a tile.
const MOST: usize = Tile::SIDE * Tile::SIDE;

/// Where a factor stands in each step: at `from`, then every `stride`.
#[derive(Clone, Copy)]
struct Column {
    from: usize,
    stride: usize,
}

/// What the steps of a tile are multiplied from, and the sums of all products.
pub(super) struct Products<'k, R: Real, I: Isa> {
    adjoint: &'k Adjoint,
    /// 1; the states before the steps, `[STEPS, n]`; the inputs, `[STEPS, m]`; lefts and computed rights, `[STEPS, stride]`.
    all: Vec<Group<R, I>>,
    /// Odd, so that steps do not compete for the same places in the cache.
    stride: usize,
    /// Of each tile.
    columns: Vec<[[Column; Tile::SIDE]; 2]>,
    /// Of each tile, over the vectors of a group.
    sums: Vec<[Single<R, I>; MOST]>,
}

/// The factors in a tile of steps.
pub(super) struct Steps<'s, R: Real, I: Isa> {
    /// Before each step, `[STEPS, n]`.
    pub(super) states: &'s mut [Group<R, I>],
    /// `[STEPS, m]`
    pub(super) inputs: &'s mut [Group<R, I>],
    /// Lefts and computed rights, `[STEPS, stride]`.
    factors: &'s mut [Group<R, I>],
    stride: usize,
    count: usize,
}

impl<R: Real, I: Isa> Steps<'_, R, I> {
    /// The state before a step, its input, its lefts and computed rights.
    #[inline(always)]
    pub(super) fn of(&mut self, step: usize) -> OfStep<'_, R, I> {
        let (n, m) = (self.states.len() / STEPS, self.inputs.len() / STEPS);
        OfStep {
            state: &self.states[step * n..(step + 1) * n],
            input: &self.inputs[step * m..(step + 1) * m],
            factors: &mut self.factors[step * self.stride..][..self.count],
        }
    }
}

/// What belongs to one step.
pub(super) struct OfStep<'s, R: Real, I: Isa> {
    pub(super) state: &'s [Group<R, I>],
    pub(super) input: &'s [Group<R, I>],
    pub(super) factors: &'s mut [Group<R, I>],
}

impl<'k, R: Real, I: Isa> Products<'k, R, I> {
    #[inline(always)]
    pub(super) fn new(adjoint: &'k Adjoint) -> Self {
        let (n, m) = (adjoint.leaves.state, adjoint.leaves.input);
        let stride = (adjoint.lefts + adjoint.computed) | 1;
        let (states, inputs, factors) = (1, 1 + STEPS * n, 1 + STEPS * (n + m));
        let columns = adjoint.tiles.iter().map(|tile| {
            let mut columns = [[Column { from: 0, stride: 0 }; Tile::SIDE]; 2];
            for (column, &left) in columns[0].iter_mut().zip(&tile.lefts) {
                *column = Column { from: factors + left, stride };
            }
            for (column, &right) in columns[1].iter_mut().zip(&tile.rights) {
                *column = match right {
                    Right::State(i) => Column { from: states + i, stride: n },
                    Right::Input(j) => Column { from: inputs + j, stride: m },
                    Right::Computed(k) => Column { from: factors + adjoint.lefts + k, stride },
                    Right::One => Column { from: 0, stride: 0 },
                };
            }
            columns
        });
        let zero = Lanes::from_f64(0.0);
        let mut all = vec![Lanes::from_f64(0.0); factors + STEPS * stride];
        all[0] = Lanes::from_f64(1.0);
        Self {
            adjoint,
            all,
            stride,
            columns: columns.collect(),
            sums: vec![[zero; MOST]; adjoint.tiles.len()],
        }
    }

    #[inline(always)]
    pub(super) fn steps(&mut self) -> Steps<'_, R, I> {
        let (n, m) = (self.adjoint.leaves.state, self.adjoint.leaves.input);
        let (states, rest) = self.all[1..].split_at_mut(STEPS * n);
        let (inputs, factors) = rest.split_at_mut(STEPS * m);
        let count = self.adjoint.lefts + self.adjoint.computed;
        Steps { states, inputs, factors, stride: self.stride, count }
    }

    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.sums.fill([Lanes::from_f64(0.0); MOST]);
    }

    /// Adds all sums, over lanes, to the cotangents `params` `[p]`.
    #[inline(always)]
    pub(super) fn add_to(&self, params: &mut [f64]) {
        for (tile, sums) in self.adjoint.tiles.iter().zip(&self.sums) {
            for (sum, &param) in sums.iter().zip(&tile.params) {
                for lane in 0..Single::<R, I>::LANES {
                    params[param] += sum.lane(lane).to_f64();
                }
            }
        }
    }

    /// Adds to the sum of each product those of the first `steps` steps.
    #[inline(always)]
    pub(super) fn accumulate(&mut self, steps: usize) {
        let Self { adjoint, all, columns, sums, .. } = self;
        for ((tile, [lefts, rights]), sums) in adjoint.tiles.iter().zip(columns).zip(sums) {
            match (tile.lefts.len(), tile.rights.len()) {
                // 16 sums need more than 16 registers.
                (4, 4) if align_of::<Single<R, I>>() >= 64 => {
                    add::<R, I, 4, 4>(all, lefts, rights, steps, sums);
                }
                (4, 4) => {
                    let (first, second) = sums.split_at_mut(MOST / 2);
                    add::<R, I, 4, 2>(all, lefts, &rights[..2], steps, first);
                    add::<R, I, 4, 2>(all, lefts, &rights[2..], steps, second);
                }
                (4, 2) => add::<R, I, 4, 2>(all, lefts, rights, steps, sums),
                (4, _) => add::<R, I, 4, 1>(all, lefts, rights, steps, sums),
                (2, 4) => add::<R, I, 2, 4>(all, lefts, rights, steps, sums),
                (2, 2) => add::<R, I, 2, 2>(all, lefts, rights, steps, sums),
                (2, _) => add::<R, I, 2, 1>(all, lefts, rights, steps, sums),
                (_, 4) => add::<R, I, 1, 4>(all, lefts, rights, steps, sums),
                (_, 2) => add::<R, I, 1, 2>(all, lefts, rights, steps, sums),
                _ => add::<R, I, 1, 1>(all, lefts, rights, steps, sums),
            }
        }
    }
}

/// Adds to `sums` `[rights, lefts]` the products of columns of `all` over `steps` steps and the vectors of a group.
#[inline(always)]
fn add<R: Real, I: Isa, const LEFTS: usize, const RIGHTS: usize>(
    all: &[Group<R, I>],
    lefts: &[Column],
    rights: &[Column],
    steps: usize,
    sums: &mut [Single<R, I>],
) {
    let mut totals = [[sums[0]; LEFTS]; RIGHTS];
    for r in 0..RIGHTS {
        totals[r].copy_from_slice(&sums[r * LEFTS..(r + 1) * LEFTS]);
    }
    for step in 0..steps {
        let mut left = [all[0]; LEFTS];
        for l in 0..LEFTS {
            left[l] = all[lefts[l].from + step * lefts[l].stride];
        }
        for r in 0..RIGHTS {
            let right = all[rights[r].from + step * rights[r].stride];
            for half in 0..2 {
                for l in 0..LEFTS {
                    totals[r][l] = left[l].vector(half).mul_add(right.vector(half), totals[r][l]);
                }
            }
        }
    }
    for r in 0..RIGHTS {
        sums[r * LEFTS..(r + 1) * LEFTS].copy_from_slice(&totals[r]);
    }
}
