//! Newton's method where the unknowns are up to two at each of one or three stages: sizes that the compiler knows, and no pivots to look for.

use super::Residual;
use super::course::{all, correction, minute, settled};
use super::linearized::{PARTIALS, Room};
use super::newton::{FAR, Newton, UNDAMPED};
use crate::scalar::{Dual, Numeric, Parameter, Scalar};

/// Unknowns of a stage at most.
pub(crate) const PAIR: usize = PARTIALS;
/// Unknowns at most.
pub(crate) const MOST: usize = 3 * PAIR;

/// A residual and its derivatives by the unknowns of `S` stages.
#[doc(hidden)]
#[derive(Debug)]
pub struct Stages<P, const S: usize> {
    /// `F`, stage by stage.
    pub(crate) r: [P; MOST],
    /// `∂F/∂z` by pairs of stages, row and column. Where a stage has one unknown the second is one that is 0.
    pub(crate) blocks: [[Pair<P>; S]; S],
}

impl<P: Scalar, const S: usize> Stages<P, S> {
    /// That of `z = 0`.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        let mut blocks = [[Pair([[P::from_f64(0.0); 2]; 2]); S]; S];
        for (stage, row) in blocks.iter_mut().enumerate() {
            row[stage] = Pair::identity();
        }
        Self { r: [P::from_f64(0.0); MOST], blocks }
    }
}

impl<P: Numeric<Plain = P>> Newton<P> {
    /// Takes whole corrections where the equation has few enough unknowns: 1 where [`found`](Self::found) then has the solution.
    ///
    /// Lanes that start far off, or do not get there, are left to what can go back and take smaller ones.
    #[inline(always)]
    pub(super) fn solve_compact<F: Residual<Real = P::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
    ) -> P {
        match residual.stages() {
            1 => self.solve_stages::<F, 1>(residual, params),
            3 => self.solve_stages::<F, 3>(residual, params),
            _ => P::from_f64(0.0),
        }
    }

    #[inline(always)]
    fn solve_stages<F: Residual<Real = P::Real>, const S: usize>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
    ) -> P {
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        let Self { x, u, room, learned, found, .. } = self;
        if residual.lifts() {
            room.begin(x, u);
        }
        // Lengths that the compiler sees.
        let (x, u) = (&x[..residual.state_dim()], &u[..residual.input_dim()]);
        let width = residual.stage_dim().min(PAIR);
        let k = S * width;
        let (mut guess, mut z) = ([zero; MOST], [zero; MOST]);
        residual.guess(params, x, u, &mut guess[..k]);
        for i in 0..k {
            z[i] = guess[i] + learned.lacks[i];
        }
        let (mut done, mut lost, mut before) = (zero, zero, zero);
        for iteration in 0..UNDAMPED {
            let mut system = residual.linearize_stages::<P, S>(params, &z, x, u, room);
            system.solve(width);
            let delta = &mut system.r[..k];
            if iteration > 0 {
                // A lane that is done keeps its bits.
                for delta in &mut *delta {
                    *delta = zero.select(done, zero, *delta);
                }
            }
            for (z, delta) in z.iter_mut().zip(&*delta) {
                *z -= *delta;
            }
            done = zero.select(done, done, minute(delta, &z[..k]));
            if all(done) {
                break;
            }
            let now = correction(delta, &z[..k]);
            if iteration == 0 {
                let mut moved = zero;
                for lacks in &learned.lacks[..k] {
                    moved = zero.select(lacks.abs(), one, moved);
                }
                let near = now.select(P::from_f64(FAR), one, zero);
                lost = zero.select(moved, one - near, zero);
            } else {
                done = done.max(settled(before, now));
            }
            before = now;
            if all(done.max(lost)) {
                break;
            }
        }
        done = zero.select(lost, zero, done);
        match width {
            // Lengths known to the compiler, where a copy of any other is a call.
            PAIR => found[..S * PAIR].copy_from_slice(&z[..S * PAIR]),
            _ => found[..S].copy_from_slice(&z[..S]),
        }
        if residual.learns() && all(done) {
            learned.note(&z[..k], &guess[..k]);
        }
        done
    }
}

/// [`Residual::stages`] of any equation: its unknowns are one stage, if there are few.
#[inline(always)]
pub(crate) fn stages<F: Residual>(residual: &F) -> usize {
    usize::from(residual.unknown_dim() <= PAIR)
}

/// [`Residual::linearize_stages`] likewise.
#[inline(always)]
pub(crate) fn linearize<F: Residual, P: Numeric<Real = F::Real, Plain = P>, const S: usize>(
    residual: &F,
    params: &[Parameter<F::Real>],
    z: &[P; MOST],
    room: &mut Room<P>,
) -> Stages<P, S> {
    let k = residual.unknown_dim().min(PAIR);
    let Room { x, u, r, .. } = room;
    let mut own = [Dual::from_f64(0.0); PAIR];
    let r = if residual.scratch_dim() == 0 { &mut own[..k] } else { &mut r[..] };
    residual.residual(params, &vary(&z[..k])[..k], x, u, r);
    let mut system = Stages::new();
    for (i, r) in r[..k].iter().enumerate() {
        system.r[i] = r.value;
        system.blocks[0][0].0[i][..k].copy_from_slice(&r.tangents[..k]);
    }
    system
}

/// `values`, up to [`PAIR`], with a tangent each.
#[inline(always)]
pub(crate) fn vary<P: Scalar>(values: &[P]) -> [Dual<P, PAIR>; PAIR] {
    let mut varied = [Dual::from_f64(0.0); PAIR];
    for (k, &value) in values.iter().enumerate() {
        varied[k] = Dual::variable(value, k);
    }
    varied
}

impl<P: Scalar, const S: usize> Stages<P, S> {
    /// Replaces `r`, `width` equations a stage, by the solution of `∂F/∂z · δ = r`.
    ///
    /// Pairs of equations are solved by determinants, with one division each, and without exchanges: a correction that is not exact to the
    /// last bit is as good, and one that is far off leaves its lane to the general method.
    #[inline(always)]
    fn solve(&mut self, width: usize) {
        let block = |row: usize, column: usize| self.blocks[row][column];
        let b0 = self.pair(0, width);
        if S == 1 {
            self.set_pair(0, width, block(0, 0).solve(b0));
            return;
        }
        let first = block(0, 0).inverse();
        let (l10, l20) = (block(1, 0).product(first), block(2, 0).product(first));
        let (u01, u02) = (block(0, 1), block(0, 2));
        let second = block(1, 1).minus(l10, u01).inverse();
        let u12 = block(1, 2).minus(l10, u02);
        let l21 = block(2, 1).minus(l20, u01).product(second);
        let third = block(2, 2).minus(l20, u02).minus(l21, u12).inverse();
        let b1 = l10.taken_from(self.pair(1, width), b0);
        let b2 = l21.taken_from(l20.taken_from(self.pair(2, width), b0), b1);
        let y2 = third.times(b2);
        let y1 = second.times(u12.taken_from(b1, y2));
        let y0 = first.times(u02.taken_from(u01.taken_from(b0, y1), y2));
        self.set_pair(0, width, y0);
        self.set_pair(1, width, y1);
        self.set_pair(2, width, y2);
    }

    /// What `r` has at a stage.
    #[inline(always)]
    fn pair(&self, stage: usize, width: usize) -> [P; 2] {
        match width {
            1 => [self.r[stage], P::from_f64(0.0)],
            _ => [self.r[2 * stage], self.r[2 * stage + 1]],
        }
    }

    #[inline(always)]
    fn set_pair(&mut self, stage: usize, width: usize, pair: [P; 2]) {
        self.r[stage * width] = pair[0];
        if width == 2 {
            self.r[stage * width + 1] = pair[1];
        }
    }
}

/// Two rows of two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<P>(pub(crate) [[P; 2]; 2]);

impl<P: Scalar> Pair<P> {
    #[inline(always)]
    pub(crate) fn identity() -> Self {
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        Self([[one, zero], [zero, one]])
    }

    #[inline(always)]
    fn inverse(self) -> Self {
        let [[a, b], [c, d]] = self.0;
        let inverse = self.determinant().recip();
        Self([[d * inverse, -(b * inverse)], [-(c * inverse), a * inverse]])
    }

    /// `self⁻¹ · y` by Cramer's rule.
    #[inline(always)]
    fn solve(self, y: [P; 2]) -> [P; 2] {
        let inverse = self.determinant().recip();
        let [[a, b], [c, d]] = self.0;
        [d.mul_add(y[0], -(b * y[1])) * inverse, a.mul_add(y[1], -(c * y[0])) * inverse]
    }

    #[inline(always)]
    fn determinant(self) -> P {
        let [[a, b], [c, d]] = self.0;
        a.mul_add(d, -(b * c))
    }

    /// `self · right`
    #[inline(always)]
    fn product(self, right: Self) -> Self {
        let [[a, b], [c, d]] = self.0;
        let [upper, lower] = right.0;
        Self([
            [b.mul_add(lower[0], a * upper[0]), b.mul_add(lower[1], a * upper[1])],
            [d.mul_add(lower[0], c * upper[0]), d.mul_add(lower[1], c * upper[1])],
        ])
    }

    /// `self − left · right`
    #[inline(always)]
    fn minus(self, left: Self, right: Self) -> Self {
        let [[a, b], [c, d]] = self.0;
        let [[e, f], [g, h]] = left.product(right).0;
        Self([[a - e, b - f], [c - g, d - h]])
    }

    /// `self · y`
    #[inline(always)]
    fn times(self, y: [P; 2]) -> [P; 2] {
        let [[a, b], [c, d]] = self.0;
        [b.mul_add(y[1], a * y[0]), d.mul_add(y[1], c * y[0])]
    }

    /// `b − self · y`
    #[inline(always)]
    fn taken_from(self, b: [P; 2], y: [P; 2]) -> [P; 2] {
        let [first, second] = self.times(y);
        [b[0] - first, b[1] - second]
    }
}
