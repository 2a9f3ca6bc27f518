//! Cotangents, backwards.

use super::super::tile;
use super::{FEW, Group, STEPS, Stretch, settle};
use crate::backend::Swept;
use crate::graph::adjoint::Adjoint;
use crate::graph::program::Program;
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Real, Scalar};

/// One block of a backward sweep.
#[derive(Debug)]
pub(super) struct PullLane<'g, R> {
    pub(super) stretch: Stretch<'g, R>,
    /// Cotangents of the states, `[len, n]`; empty after the first sweep.
    pub(super) cotangents: &'g [R],
    /// `[len, m]`
    pub(super) inputs: &'g mut [R],
    /// One for each tile.
    pub(super) sizes: &'g mut [R],
    /// From the block after this one; then for the one before it. `[n]`
    pub(super) border: &'g mut [R],
    pub(super) swept: &'g mut Swept,
}

/// Sweeps groups of blocks backwards, one group after the other.
#[doc(hidden)]
#[derive(Debug)]
pub struct Pull<'k, 'g, R: Real> {
    pub(super) adjoint: &'k Adjoint,
    pub(super) program: &'k Program,
    pub(super) table: &'k [R],
    pub(super) first: bool,
    /// Whether more is kept than borders.
    pub(super) record: bool,
    pub(super) floor: R,
    pub(super) groups: &'k mut [PullLane<'g, R>],
    /// Added to, `[p]`.
    pub(super) params: &'k mut [f64],
}

impl<R: Real> Kernel for Pull<'_, '_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        if self.groups.len() <= FEW && Group::<R, I>::LANES > FEW {
            return I::Single::enter(self);
        }
        let Self { adjoint, program, table, first, record, floor, groups, params } = self;
        let (n, m) = (adjoint.leaves.state, adjoint.leaves.input);
        let (lefts, rights) = (adjoint.lefts, adjoint.rights);
        let zero = Group::<R, I>::from_f64(0.0);
        let mut slots = program.prepare::<R, I, 2>(table);
        let mut carry = vec![zero; n];
        // The states of a tile's steps; those of the tile before it.
        let (mut now, mut before) = (vec![zero; STEPS * n], vec![zero; STEPS * n]);
        let mut inputs = vec![zero; STEPS * m];
        let mut given = vec![zero; STEPS * n];
        let mut pulled_inputs = vec![zero; STEPS * m];
        // Lefts, rights, ones; of each the steps of a tile.
        let mut factors = vec![Group::<R, I>::from_f64(1.0); (lefts + rights + 1) * STEPS];
        let mut sums = vec![zero; adjoint.products.len()];
        for lanes in groups.chunks_mut(Group::<R, I>::LANES) {
            sums.fill(zero);
            let longest = lanes.iter().map(|lane| lane.stretch.len).max().unwrap_or(0);
            let mut alive = vec![true; lanes.len()];
            let (mut difference, mut magnitude) = (zero, zero);
            carry.fill(zero);
            for (lane, block) in lanes.iter().enumerate() {
                for (carry, &border) in carry.iter_mut().zip(&*block.border) {
                    carry.set_lane(lane, border);
                }
            }
            let last = longest.saturating_sub(1) / STEPS * STEPS;
            tile::gather(
                lanes.iter().map(|lane| lane.stretch.rows(lane.stretch.states, last, n)),
                &mut now,
            );
            for lo in (0..longest).step_by(STEPS).rev() {
                let steps = STEPS.min(longest - lo);
                if lo > 0 {
                    let rows = lanes
                        .iter()
                        .map(|lane| lane.stretch.rows(lane.stretch.states, lo - STEPS, n));
                    tile::gather(rows, &mut before);
                } else {
                    for (lane, block) in lanes.iter().enumerate() {
                        for i in 0..n {
                            before[(STEPS - 1) * n + i].set_lane(lane, block.stretch.start[i]);
                        }
                    }
                }
                tile::gather(
                    lanes.iter().map(|lane| lane.stretch.rows(lane.stretch.inputs, lo, m)),
                    &mut inputs,
                );
                let ragged = lanes.iter().any(|lane| lane.stretch.len < lo + steps);
                if first {
                    if ragged {
                        given.fill(zero);
                    }
                    let rows = lanes.iter().map(|lane| lane.stretch.rows(lane.cotangents, lo, n));
                    tile::gather(rows, &mut given);
                    // Lanes without a block have been given the first one's.
                    for given in &mut given {
                        for lane in lanes.len()..Group::<R, I>::LANES {
                            given.set_lane(lane, R::default());
                        }
                    }
                }
                let mut size = zero;
                for s in (0..steps).rev() {
                    let state =
                        if s > 0 { &now[(s - 1) * n..s * n] } else { &before[(STEPS - 1) * n..] };
                    slots[program.state()].copy_from_slice(state);
                    slots[program.input()].copy_from_slice(&inputs[s * m..(s + 1) * m]);
                    let seeds = &mut slots[program.seeds()];
                    for i in 0..n {
                        let cotangent = if first { carry[i] + given[s * n + i] } else { carry[i] };
                        seeds[i] = cotangent;
                    }
                    if ragged {
                        // Lanes without this step stand still.
                        for (lane, block) in lanes.iter().enumerate() {
                            if block.stretch.len <= lo + s {
                                for seed in seeds.iter_mut() {
                                    seed.set_lane(lane, R::default());
                                }
                            }
                        }
                    }
                    for seed in seeds.iter() {
                        size += seed.abs();
                    }
                    program.run(table, &mut slots);
                    let outputs = program.outputs();
                    if ragged {
                        for (lane, block) in lanes.iter().enumerate() {
                            if block.stretch.len <= lo + s {
                                for &slot in &outputs[..n + m + lefts + rights] {
                                    slots[slot as usize].set_lane(lane, R::default());
                                }
                            }
                        }
                    }
                    for i in 0..n {
                        carry[i] = slots[outputs[i] as usize];
                    }
                    for j in 0..m {
                        pulled_inputs[s * m + j] = slots[outputs[n + j] as usize];
                    }
                    for k in 0..lefts + rights {
                        factors[k * STEPS + s] = slots[outputs[n + m + k] as usize];
                    }
                    if first {
                        let values = &outputs[n + m + lefts + rights..];
                        for i in 0..n {
                            let stored = now[s * n + i];
                            let (mut apart, mut size) =
                                ((slots[values[i] as usize] - stored).abs(), stored.abs());
                            if ragged {
                                for (lane, block) in lanes.iter().enumerate() {
                                    if block.stretch.len <= lo + s {
                                        apart.set_lane(lane, R::default());
                                        size.set_lane(lane, R::default());
                                    }
                                }
                            }
                            difference += apart;
                            magnitude += size;
                        }
                    }
                }
                if record {
                    accumulate(adjoint, &factors, steps, &mut sums);
                }
                if record && m > 0 {
                    let of = |lane: &PullLane<'_, R>| {
                        let to = (lo + STEPS).min(lane.stretch.len) * m;
                        (lo * m).min(to)..to
                    };
                    if !first {
                        let rows = lanes.iter().map(|lane| &lane.inputs[of(lane)]);
                        tile::gather(rows, &mut inputs);
                        for j in 0..steps * m {
                            pulled_inputs[j] += inputs[j];
                        }
                    }
                    let mut rows: [&mut [R]; tile::MOST_LANES] =
                        std::array::from_fn(|_| &mut [][..]);
                    let count = lanes.len();
                    for (row, lane) in rows.iter_mut().zip(lanes.iter_mut()) {
                        let range = of(lane);
                        *row = &mut lane.inputs[range];
                    }
                    tile::scatter(&pulled_inputs, &mut rows[..count]);
                }
                for (lane, block) in lanes.iter_mut().enumerate() {
                    if !record || !alive[lane] || lo >= block.stretch.len {
                        continue;
                    }
                    let size = size.lane(lane);
                    if settle(size, &mut block.sizes[lo / STEPS], floor, first) {
                        alive[lane] = false;
                        for carry in &mut carry {
                            carry.set_lane(lane, R::default());
                        }
                    }
                }
                if !alive.contains(&true) {
                    break;
                }
                std::mem::swap(&mut now, &mut before);
            }
            for (lane, block) in lanes.iter_mut().enumerate() {
                for (carry, border) in carry.iter().zip(block.border.iter_mut()) {
                    *border = carry.lane(lane);
                }
                block.swept.difference += difference.lane(lane).to_f64();
                block.swept.magnitude += magnitude.lane(lane).to_f64();
            }
            for (product, sum) in adjoint.products.iter().zip(&sums).filter(|_| record) {
                for lane in 0..Group::<R, I>::LANES {
                    params[product.param] += sum.lane(lane).to_f64();
                }
            }
        }
    }
}

/// Adds to the sum of each product the sum over a tile's first `steps` steps.
#[inline(always)]
fn accumulate<R: Real, I: Isa>(
    adjoint: &Adjoint,
    factors: &[Group<R, I>],
    steps: usize,
    sums: &mut [Group<R, I>],
) {
    let row = |k: usize| &factors[k * STEPS..][..STEPS];
    let (fours, others) = adjoint.products.split_at(4 * adjoint.quads);
    let (sums_of_fours, sums_of_others) = sums.split_at_mut(4 * adjoint.quads);
    for (products, sums) in fours.chunks_exact(4).zip(sums_of_fours.chunks_exact_mut(4)) {
        let left = row(products[0].left);
        let [a, b, c, d] = [
            row(adjoint.lefts + products[0].right),
            row(adjoint.lefts + products[1].right),
            row(adjoint.lefts + products[2].right),
            row(adjoint.lefts + products[3].right),
        ];
        let mut four = [sums[0], sums[1], sums[2], sums[3]];
        for s in 0..steps {
            let left = left[s];
            four[0] = left.mul_add(a[s], four[0]);
            four[1] = left.mul_add(b[s], four[1]);
            four[2] = left.mul_add(c[s], four[2]);
            four[3] = left.mul_add(d[s], four[3]);
        }
        sums.copy_from_slice(&four);
    }
    for (product, sum) in others.iter().zip(sums_of_others) {
        let (left, right) = (row(product.left), row(adjoint.lefts + product.right));
        let mut total = *sum;
        for s in 0..steps {
            total = left[s].mul_add(right[s], total);
        }
        *sum = total;
    }
}
