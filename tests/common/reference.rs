//! The plain loop, written out, and how a solution is held against it.

use deer_solver::scalar::{Parameter, Scalar};
use deer_solver::{Dual, Dynamics, Problem, Real, Solution, Termination, Tolerance};
use ndarray::{Array2, Array3, ArrayView3};

/// One step on plain numbers.
pub(crate) fn step<D: Dynamics>(
    dynamics: &D,
    params: &[D::Real],
    x: &[D::Real],
    u: &[D::Real],
) -> Vec<D::Real> {
    let mut next = vec![D::Real::default(); dynamics.state_dim() + dynamics.scratch_dim()];
    dynamics.step::<D::Real>(Parameter::from_slice(params), x, u, &mut next);
    next.truncate(dynamics.state_dim());
    next
}

/// States `[B, T, n]` one step after the other, zero after the end of a shorter sequence.
pub(crate) fn plain_loop<D: Dynamics>(problem: &Problem<'_, D>) -> Array3<D::Real> {
    let (n, m) = (problem.state_dim(), problem.input_dim());
    let mut states = Array3::zeros((problem.batch_size(), problem.max_steps(), n));
    for b in 0..problem.batch_size() {
        let mut x = problem.initial_state().row(b).to_vec();
        for t in 0..problem.steps(b) {
            let u = &problem.inputs(b)[t * m..(t + 1) * m];
            x = step(problem.dynamics(), problem.params(), &x, u);
            for (i, &x) in x.iter().enumerate() {
                states[[b, t, i]] = x;
            }
        }
    }
    states
}

/// How far independent errors of 1 in every component of every step take a trajectory, at the most: the largest standard deviation of a
/// component, `C_t = A_t C_{t−1} A_tᵀ + I` with the Jacobians along the plain loop.
pub(crate) fn growth_of_errors<D: Dynamics>(
    problem: &Problem<'_, D>,
    states: ArrayView3<'_, D::Real>,
) -> f64 {
    let (n, m, dynamics) = (problem.state_dim(), problem.input_dim(), problem.dynamics());
    let constant = |x: D::Real| Dual::<D::Real, 1>::new(x, [D::Real::default()]);
    let mut next = vec![constant(D::Real::default()); n + dynamics.scratch_dim()];
    let mut largest = 0.0f64;
    for b in 0..problem.batch_size() {
        let mut variance = Array2::<f64>::zeros((n, n));
        let mut jacobian = variance.clone();
        let mut x = problem.initial_state().row(b).to_vec();
        for t in 0..problem.steps(b) {
            let u: Vec<_> =
                problem.inputs(b)[t * m..(t + 1) * m].iter().map(|&u| constant(u)).collect();
            for column in 0..n {
                let mut x: Vec<_> = x.iter().map(|&x| constant(x)).collect();
                x[column].tangents[0] = D::Real::from_f64(1.0);
                dynamics.step(Parameter::from_slice(problem.params()), &x, &u, &mut next);
                for row in 0..n {
                    jacobian[[row, column]] = next[row].tangents[0].to_f64();
                }
            }
            variance = jacobian.dot(&variance).dot(&jacobian.t()) + Array2::<f64>::eye(n);
            largest = variance.diag().iter().fold(largest, |largest, &c| largest.max(c.sqrt()));
            x = states.slice(ndarray::s![b, t, ..]).to_vec();
        }
    }
    largest
}

/// Largest difference of two arrays: 0 for a NaN where there is a NaN and an infinity where there is the
/// same infinity, infinite for one where there is none.
pub(crate) fn difference<R: Real>(a: ArrayView3<'_, R>, b: ArrayView3<'_, R>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(&b).fold(0.0, |worst, (a, b)| worst.max(apart(a.to_f64(), b.to_f64())))
}

fn apart(a: f64, b: f64) -> f64 {
    if a == b || a.is_nan() && b.is_nan() {
        0.0
    } else if a.is_finite() && b.is_finite() {
        (a - b).abs()
    } else {
        f64::INFINITY
    }
}

/// How large a residual may be: `atol + rtol |x_i|` with the size of the component lately and, for the rounding of one step in two arithmetics,
/// `slack` units in the last place of `max(|x_i|, scale)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) atol: f64,
    pub(crate) rtol: f64,
    pub(crate) slack: f64,
    pub(crate) scale: f64,
}

impl Allowance {
    /// The default tolerance of a precision, 16 units of rounding, states of about `scale`.
    pub(crate) fn of<R: Real>(scale: f64) -> Self {
        Self { atol: 0.0, rtol: if R::SINGLE { 1e-6 } else { 1e-13 }, slack: 16.0, scale }
    }
}

/// The largest residual of a trajectory against plain steps, as a share of what is allowed.
pub(crate) fn residual<D: Dynamics>(
    problem: &Problem<'_, D>,
    states: ArrayView3<'_, D::Real>,
    allowance: Allowance,
) -> f64 {
    let mut worst = 0.0f64;
    for b in 0..problem.batch_size() {
        for t in 0..problem.steps(b) {
            worst = worst.max(residual_at(problem, states, allowance, b, t));
        }
    }
    worst
}

fn residual_at<D: Dynamics>(
    problem: &Problem<'_, D>,
    states: ArrayView3<'_, D::Real>,
    allowance: Allowance,
    b: usize,
    t: usize,
) -> f64 {
    let m = problem.input_dim();
    let before = match t {
        0 => problem.initial_state().row(b).to_vec(),
        _ => states.slice(ndarray::s![b, t - 1, ..]).to_vec(),
    };
    let u = &problem.inputs(b)[t * m..(t + 1) * m];
    let after = step(problem.dynamics(), problem.params(), &before, u);
    let now = states.slice(ndarray::s![b, t, ..]);
    let rounding = allowance.slack * D::Real::EPSILON.to_f64();
    let mut worst = 0.0f64;
    for (i, (x, f)) in now.iter().zip(&after).enumerate() {
        let (x, f) = (x.to_f64(), f.to_f64());
        let size = x.abs().max(f.abs());
        let lately = lately(states, b, t, i).min(Tolerance::SIZE_RATIO * size).max(size);
        let bound = allowance.atol + allowance.rtol * lately + rounding * size.max(allowance.scale);
        let apart = apart(x, f);
        if apart > 0.0 {
            worst = worst.max(apart / bound.min(f64::MAX));
        }
    }
    worst
}

/// The largest magnitude of a component over the last steps, those before the window with a weight.
fn lately<R: Real>(states: ArrayView3<'_, R>, b: usize, t: usize, i: usize) -> f64 {
    const WEIGHTED: usize = 128;
    let window = Tolerance::SIZE_STEPS;
    (0..=t.min(WEIGHTED)).fold(0.0, |largest, ago| {
        let magnitude = states[[b, t - ago, i]].to_f64().abs();
        let weight = (1.0 - 1.0 / window as f64).powi(ago as i32);
        let weight = if ago <= window { 1.0 } else { weight };
        if magnitude.is_finite() { f64::max(largest, weight * magnitude) } else { largest }
    })
}

/// Checks that every termination of a solution is true; what was not finished is not looked at.
pub(crate) fn check_honest<D: Dynamics>(
    what: &str,
    problem: &Problem<'_, D>,
    solution: &Solution<D::Real>,
    allowance: Allowance,
) {
    let states = solution.states();
    assert_eq!(solution.terminations().len(), problem.batch_size(), "{what}");
    for (b, &termination) in solution.terminations().iter().enumerate() {
        let trajectory = solution.trajectory(b);
        let non_finite =
            trajectory.rows().into_iter().position(|x| x.iter().any(|x| !x.to_f64().is_finite()));
        match termination {
            Termination::Converged => assert_eq!(non_finite, None, "{what}: sequence {b}"),
            Termination::NonFinite { batch, t } => {
                assert_eq!((batch, Some(t)), (b, non_finite), "{what}: sequence {b}");
            }
            _ => continue,
        }
        for t in 0..problem.steps(b) {
            let residual = residual_at(problem, states, allowance, b, t);
            assert!(
                residual <= 1.0,
                "{what}: sequence {b}, {termination:?}, step {t} has {residual:e} of the residual \
                 allowed\n{}",
                solution.report()
            );
        }
    }
    let all = solution.terminations().iter().all(|&t| t == Termination::Converged);
    assert_eq!(solution.converged(), all, "{what}");
}

/// As numbers that are equal where the bits are.
pub(crate) fn bits<R: Real>(states: ArrayView3<'_, R>) -> Vec<u64> {
    states.iter().map(|x| x.to_f64().to_bits()).collect()
}
