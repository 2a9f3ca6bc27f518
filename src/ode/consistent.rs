//! What a differential-algebraic equation asks of its initial state, and of its steps.

use super::Dae;
use crate::error::{Error, Result};
use crate::root::{self, System};
use crate::scalar::{Param, Real, Scalar};
use ndarray::{Array1, ArrayView1};

/// `F` at one time, where of each component either the slope or the state is unknown.
struct Point<'a, F: Dae> {
    dae: &'a F,
    t: F::Real,
    dy: Vec<F::Real>,
    y: Vec<F::Real>,
    /// Whether the unknown is the slope.
    slope: Vec<bool>,
}

impl<F: Dae> System for Point<'_, F> {
    type Real = F::Real;
    fn dim(&self) -> usize {
        self.dae.state_dim()
    }
    fn params(&self) -> &[F::Real] {
        self.dae.params()
    }
    fn scratch_dim(&self) -> usize {
        2 * self.dae.state_dim() + self.dae.scratch_dim()
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = F::Real>>(&self, params: &[Param<S>], x: &[S], r: &mut [S]) {
        let n = x.len();
        let (r, known) = r.split_at_mut(n + self.dae.scratch_dim());
        let (dy, y) = known.split_at_mut(n);
        for j in 0..n {
            (dy[j], y[j]) = match self.slope[j] {
                true => (x[j], S::constant(self.y[j])),
                false => (S::constant(self.dy[j]), x[j]),
            };
        }
        self.dae.residual(params, S::constant(self.t), dy, y, &[], r);
    }
}

impl<F: Dae> Point<'_, F> {
    /// `∂F/∂ẏ` or `∂F/∂y`, `[n, n]` row-major.
    fn partials(&mut self, by_slope: bool) -> Vec<f64> {
        let unknown = std::mem::replace(&mut self.slope, vec![by_slope; self.y.len()]);
        let jacobian = root::jacobian(&*self, if by_slope { &self.dy } else { &self.y });
        self.slope = unknown;
        jacobian
    }

    /// Solves for the unknowns as well as can be, from what they are.
    fn solve(&mut self) -> Result<()> {
        let guess = Array1::from_shape_fn(self.y.len(), |j| match self.slope[j] {
            true => self.dy[j],
            false => self.y[j],
        });
        // As far as it goes; `defect` says whether that is far enough.
        let options = root::Options::default().tolerance(0.0, 4.0 * F::Real::EPSILON.to_f64());
        let root = root::newton(&*self, guess.view(), &options)?;
        for (j, &x) in root.solution().iter().enumerate() {
            match self.slope[j] {
                true => self.dy[j] = x,
                false => self.y[j] = x,
            }
        }
        Ok(())
    }

    fn start(self) -> Start<F::Real> {
        Start { y: Array1::from(self.y), dy: self.dy }
    }

    /// The residual that is largest against the terms that it is made of, to first order: its row, itself, and its share of them.
    fn defect(&mut self) -> Defect {
        let n = self.y.len();
        let (by_slope, by_state) = (self.partials(true), self.partials(false));
        let unknown = std::mem::replace(&mut self.slope, vec![false; n]);
        let residual = root::residual(&*self, &self.y);
        self.slope = unknown;
        let mut worst = Defect { row: 0, residual: 0.0, share: 0.0 };
        for (row, residual) in residual.iter().map(|r| r.to_f64()).enumerate() {
            let size: f64 = (0..n)
                .map(|j| {
                    (by_slope[row * n + j] * self.dy[j].to_f64()).abs()
                        + (by_state[row * n + j] * self.y[j].to_f64()).abs()
                })
                .sum();
            let share = residual.abs() / size.max(F::Real::EPSILON.to_f64());
            if share > worst.share || share.is_nan() {
                worst = Defect { row, residual, share };
            }
        }
        worst
    }
}

/// Where a solution starts.
#[derive(Debug)]
pub(super) struct Start<R> {
    pub(super) y: Array1<R>,
    pub(super) dy: Vec<R>,
}

struct Defect {
    row: usize,
    residual: f64,
    share: f64,
}

/// The state `[n]` that `dae` can start from at `t`, and its slopes (0 where they do not occur).
///
/// `y0` stays as it is if there are slopes that fit it. Else its algebraic components, those whose slope does not occur, are solved for
/// together with the slopes of the others; this is enough for an index of 1.
///
/// # Errors
/// Residuals that remain.
pub(super) fn initial<F: Dae>(
    dae: &F,
    t: F::Real,
    y0: ArrayView1<'_, F::Real>,
) -> Result<Start<F::Real>> {
    let n = dae.state_dim();
    let epsilon = F::Real::EPSILON.to_f64();
    // What rounding leaves, and what an initial state with half of the digits does.
    let (exact, close) = (4096.0 * epsilon, 64.0 * epsilon.sqrt());
    let zero = F::Real::default();
    let mut kept = Point { dae, t, dy: vec![zero; n], y: y0.to_vec(), slope: vec![true; n] };
    // Slopes may occur in products with each other.
    let at_rest = kept.partials(true);
    kept.dy = (0..n).map(|j| F::Real::from_f64(0.5 + (j as f64 * 0.618).fract())).collect();
    let moving = kept.partials(true);
    kept.dy = vec![zero; n];
    let differential: Vec<bool> = (0..n)
        .map(|j| (0..n).any(|i| at_rest[i * n + j] != 0.0 || moving[i * n + j] != 0.0))
        .collect();
    kept.solve()?;
    let with_kept = kept.defect();
    if with_kept.share <= exact {
        return Ok(kept.start());
    }
    let mut moved =
        Point { dae, t, dy: kept.dy.clone(), y: kept.y.clone(), slope: differential.clone() };
    moved.solve()?;
    let with_moved = moved.defect();
    if with_moved.share <= exact {
        Ok(moved.start())
    } else if with_kept.share <= close {
        Ok(kept.start())
    } else if with_moved.share <= close {
        Ok(moved.start())
    } else {
        let algebraic: Vec<usize> = (0..n).filter(|&j| !differential[j]).collect();
        let Defect { row, residual, .. } = with_moved;
        Err(Error::setting(
            "y0",
            format!(
                "a state that meets F(t, ẏ, y) = 0 with some ẏ, after its algebraic components {algebraic:?} are solved for"
            ),
            format!("a residual of {residual:e} in F[{row}]"),
        ))
    }
}

/// An error where `∂F/∂y + (1/Δ) ∂F/∂ẏ` of a step of length `dt` to `t` is singular at `y` and `dy`; without `dt_only`, only where that
/// of other steps is so too.
pub(super) fn check_step<F: Dae>(
    dae: &F,
    t: F::Real,
    dt: F::Real,
    (y, dy): (&[F::Real], &[F::Real]),
    dt_only: bool,
) -> Result<()> {
    let slope = vec![false; y.len()];
    let mut point = Point { dae, t, dy: dy.to_vec(), y: y.to_vec(), slope };
    let (by_slope, by_state) = (point.partials(true), point.partials(false));
    let singular = |dt: f64| {
        let matrix: Vec<f64> = by_slope.iter().zip(&by_state).map(|(s, y)| y + s / dt).collect();
        matrix.iter().all(|entry| entry.is_finite()) && root::is_singular(&matrix, y.len())
    };
    let dt = dt.to_f64();
    if !singular(dt) {
        return Ok(());
    }
    let [shorter, longer] = [singular(0.37 * dt), singular(1e3 * dt)];
    let meaning = match (shorter, longer) {
        (true, true) => {
            "whatever its length: an equation follows from the others or contradicts them, or none determines some variable"
        }
        (true, false) => "and of shorter ones, in rounding: the index is too high for them",
        (false, _) if !dt_only => return Ok(()),
        (false, _) => "of this length only: take another",
    };
    Err(Error::setting(
        "dae",
        "an equation whose ∂F/∂y + (1/Δ) ∂F/∂ẏ is invertible",
        format!("a singular one at t = {t}, for the step of {dt:e} to it {meaning}"),
    ))
}
