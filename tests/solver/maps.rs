//! Small recurrences written as a user would write them.

use deer_solver::scalar::{Param, Real, Scalar};
use deer_solver::{Dynamics, Linearization, Method, Solver};

/// One type for all of them: each type that is solved costs a set of compiled kernels.
#[derive(Clone, Debug)]
pub(crate) struct Map<R> {
    pub(crate) kind: Kind,
    pub(crate) n: usize,
    pub(crate) params: Vec<R>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `x' = p x (1 − x)`.
    Logistic,
    /// `x' = tanh(3 x + u)`: two attractors.
    Bistable,
    /// `x' = x + p x (1 − x²)`: attractors ±1, repelled by 0.
    Cubic,
    /// `x' = u_0 x + u_1`.
    Affine,
    /// `x' = p_0 x − p_1 y, y' = p_1 x + p_0 y`.
    Rotation,
    /// `x' = tanh(W x + w u)`, parameters `W` `[n, n]`, `w` `[n]`.
    Tanh,
    /// The same without those entries of `W` that are 0.
    SparseTanh,
    /// `x' = W x + w u`, parameters as those of `Tanh`.
    Linear,
    /// `x' = ln(x + u)`.
    Log,
    /// `x' = √(x + u)`.
    Root,
    /// `x' = max(y, 0) / 2 + u, y' = √(x − 1/2)`: a NaN in `y` is gone two steps later.
    Passing,
    /// `x' = clip(p x + u, −1, 1)`.
    Clip,
    /// `x' = tanh(p_0 x + p_1 y + u), y' = (x − y) / 2` by way of the workspace.
    Workspace,
    /// A component of about 1e6 and one of about 1e-3 that drive each other.
    Scales,
    /// `x' = √max(x − 1/10, 0) + u`: an infinite slope at 1/10, and 0 · ∞ below it in the chain rule.
    Steep,
    /// Six components, each of which depends on itself alone, which is not declared.
    Apart,
    /// `x' = tanh(p_0 x + p_1 u)`, with `p_0` taken from `self`.
    Forgetful,
    /// Hénon's map, `x' = 1 − 1.4 x² + y, y' = 0.3 x`.
    Henon,
    /// Lorenz' equations by steps of `p` of Euler's method.
    Lorenz,
    /// `x' = tanh(u_0 x + u_1)`: expands or contracts as `u_0` says.
    Gain,
    /// `x' = x + p_0 sin(p_1 x) + u` with a long polynomial of small effect: what a loop waits for and lanes do not.
    Chain,
    /// `x' = x + p (x − x³)/(1 + x²) + u`: leaves 0 slowly for ±1, with a polynomial as that of `Chain`.
    Wells,
    /// Three pairs that rotate and saturate, the second half of the state with the first; not declared.
    Pairs,
    /// Six components (or the first `n`), each of which drives the one before it in a cycle: those of different cycles do not meet.
    /// The numbers are the next ones in the cycles.
    Cycles([usize; 6]),
}

impl<R: Real> Map<R> {
    pub(crate) fn new(kind: Kind, params: &[f64]) -> Self {
        let n = match kind {
            Kind::Rotation | Kind::Passing | Kind::Workspace | Kind::Scales | Kind::Henon => 2,
            Kind::Lorenz => 3,
            // n² + n parameters.
            Kind::Tanh => (0..).find(|n| n * n + n >= params.len()).unwrap_or(0),
            Kind::Apart | Kind::Pairs | Kind::Cycles(_) => 6,
            _ => 1,
        };
        Self { kind, n, params: params.iter().map(|&p| R::from_f64(p)).collect() }
    }

    /// A random tanh network of `n` units: weights normal-ish with standard deviation `gain / √n`.
    pub(crate) fn tanh(n: usize, gain: f64, seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        let scale = gain * (3.0 / n.max(1) as f64).sqrt();
        let mut params: Vec<f64> = (0..n * n).map(|_| scale * noise.next()).collect();
        params.extend((0..n).map(|_| noise.next()));
        Self { n, ..Self::new(Kind::Tanh, &params) }
    }
}

impl<R: Real> Dynamics for Map<R> {
    type Real = R;
    fn state_dim(&self) -> usize {
        self.n
    }
    fn input_dim(&self) -> usize {
        match self.kind {
            Kind::Logistic | Kind::Cubic | Kind::Rotation | Kind::Henon | Kind::Lorenz => 0,
            Kind::Affine | Kind::Gain => 2,
            _ => 1,
        }
    }
    fn params(&self) -> &[R] {
        &self.params
    }
    fn scratch_dim(&self) -> usize {
        if self.kind == Kind::Workspace { 3 } else { 0 }
    }
    #[inline(always)]
    fn step<S: Scalar<Real = R>>(&self, p: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        let (zero, one, half) = (S::from_f64(0.0), S::from_f64(1.0), S::from_f64(0.5));
        match self.kind {
            Kind::Logistic => next[0] = (one - x[0]) * x[0] * p[0],
            Kind::Bistable => next[0] = (x[0] * S::from_f64(3.0) + u[0]).tanh(),
            Kind::Cubic => next[0] = x[0] + (one - x[0] * x[0]) * x[0] * p[0],
            Kind::Affine => next[0] = x[0] * u[0] + u[1],
            Kind::Rotation => {
                next[0] = x[0] * p[0] - x[1] * p[1];
                next[1] = x[0] * p[1] + x[1] * p[0];
            }
            Kind::Tanh | Kind::SparseTanh | Kind::Linear => {
                for i in 0..self.n {
                    let mut sum = u[0] * p[self.n * self.n + i];
                    for (j, &x) in x.iter().enumerate() {
                        let entry = i * self.n + j;
                        if self.kind != Kind::SparseTanh || self.params[entry] != R::default() {
                            sum += x * p[entry];
                        }
                    }
                    next[i] = if self.kind == Kind::Linear { sum } else { sum.tanh() };
                }
            }
            Kind::Log => next[0] = (x[0] + u[0]).ln(),
            Kind::Root => next[0] = (x[0] + u[0]).sqrt(),
            Kind::Passing => {
                next[0] = x[1].max(zero) * half + u[0];
                next[1] = (x[0] - half).sqrt();
            }
            Kind::Clip => next[0] = (x[0] * p[0] + u[0]).max(-one).min(one),
            Kind::Workspace => {
                next[2] = x[0] * p[0] + x[1] * p[1];
                next[3] = next[2] + u[0];
                next[4] = x[0] - x[1];
                next[0] = next[3].tanh();
                next[1] = next[4] * half;
            }
            Kind::Scales => {
                next[0] = x[0] * half
                    + (x[1] * S::from_f64(1e3)).tanh() * S::from_f64(1e5)
                    + u[0] * S::from_f64(1e6);
                next[1] =
                    x[1] * S::from_f64(0.3) + (x[0] * S::from_f64(1e-6)).sin() * S::from_f64(1e-3);
            }
            Kind::Apart => {
                for i in 0..6 {
                    next[i] = (x[i] * p[i] + u[0]).sin();
                }
            }
            Kind::Pairs => {
                for i in 0..3 {
                    next[i] = (x[i] * p[0] - x[i + 3] * p[1] + u[0]).tanh();
                    next[i + 3] = (x[i] * p[1] + x[i + 3] * p[0]).tanh();
                }
            }
            Kind::Cycles(after) => {
                for i in 0..self.n {
                    next[i] = (x[i] * p[0] - x[after[i]] * p[1] + u[0]).tanh();
                }
            }
            Kind::Henon => {
                next[0] = one - x[0] * x[0] * S::from_f64(1.4) + x[1];
                next[1] = x[0] * S::from_f64(0.3);
            }
            Kind::Lorenz => {
                next[0] = x[0] + (x[1] - x[0]) * S::from_f64(10.0) * p[0];
                next[1] = x[1] + (x[0] * (S::from_f64(28.0) - x[2]) - x[1]) * p[0];
                next[2] = x[2] + (x[0] * x[1] - x[2] * S::from_f64(8.0 / 3.0)) * p[0];
            }
            Kind::Gain => next[0] = (x[0] * u[0] + u[1]).tanh(),
            Kind::Chain => {
                let mut sum = x[0];
                for _ in 0..200 {
                    sum = sum * half + u[0];
                }
                next[0] = x[0] + (x[0] * p[1]).sin() * p[0] + u[0] + sum * S::from_f64(1e-4);
            }
            Kind::Wells => {
                let square = x[0] * x[0];
                let slope = (x[0] - square * x[0]) / (square + one);
                let mut sum = x[0];
                for _ in 0..200 {
                    sum = sum * half + u[0];
                }
                next[0] = x[0] + slope * p[0] + u[0] + sum * S::from_f64(1e-7);
            }
            Kind::Forgetful => next[0] = (x[0] * self.params[0] + u[0] * p[1]).tanh(),
            Kind::Steep => next[0] = (x[0] - S::from_f64(0.1)).max(zero).sqrt() + u[0],
        }
    }
}

/// Numbers in −1..1 from a linear congruence: the same on every machine and with every library.
#[derive(Debug)]
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }
    pub(crate) fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
    pub(crate) fn vec<R: Real>(&mut self, len: usize, scale: f64) -> Vec<R> {
        (0..len).map(|_| R::from_f64(scale * self.next())).collect()
    }
}

/// Every method by its name.
pub(crate) fn methods() -> [Solver; 6] {
    [
        Solver::auto(),
        Solver::sequential(),
        Solver::jacobi(),
        Solver::picard(),
        Solver::quasi_deer(),
        Solver::deer(),
    ]
}

/// Whether a method must deliver whatever the recurrence.
pub(crate) fn always_delivers(solver: &Solver) -> bool {
    matches!(solver.method, Method::Auto | Method::Sequential)
}

/// Whether the linear part is zero, so that damping changes nothing.
pub(crate) fn ignores_damping(solver: &Solver) -> bool {
    always_delivers(solver) || solver.method == Method::Sweeps(Linearization::Zero)
}

/// With a block length, or the method's own.
pub(crate) fn with_block(solver: &Solver, block: Option<usize>) -> Solver {
    let mut solver = solver.clone();
    solver.block = block;
    solver
}
