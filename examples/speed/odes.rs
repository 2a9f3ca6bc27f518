//! Equations in time against the loops that one would write for them by hand: what the library promises there.

use crate::common::cli::Misuse;
use crate::common::figure::{length, significant};
use crate::common::race::{Outcome, Runner, race, timed, timed_loop};
use crate::diode_clipper::{Clipper, Unrolled};
use crate::neural_ode;
use crate::options::Options;
use crate::pendulum::Pendulum;
use crate::two_body::{TwoBody, rk4};
use deer_solver::ode::{Discretized, ImplicitDiscretized, Ode, Scheme};
use deer_solver::scalar::{Constant, Param, Scalar};
use deer_solver::{Cpu, Implicit, Problem, Recurrence, Solver};
use indicatif::ProgressBar;
use ndarray::{Array1, Array2, ArrayView1};
use serde::Serialize;
use std::time::Duration;

/// One equation by the loop and by `auto`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    what: String,
    steps: usize,
    /// Of the loop by hand, of `sequential`, and of `auto` on 1 and 2 threads.
    nanoseconds: [f64; 4],
    /// What `auto` chose, sweeps, and steps evaluated for each of the loop's.
    chosen: (String, usize, f64),
    target: Target,
}

/// A bound on the speed-up over the loop, or on the milliseconds of a solve, on 2 threads.
#[derive(Clone, Copy, Debug, Serialize)]
enum Target {
    Times(f64),
    Milliseconds(f64),
}
use Target::{Milliseconds, Times};

struct Measured {
    lines: Vec<Line>,
    threads: [Cpu; 2],
    bar: ProgressBar,
    quick: bool,
}

impl Measured {
    /// Races `by_hand` with the solver.
    fn add<D: Recurrence<Real = f64>, T>(
        &mut self,
        what: &str,
        target: Target,
        problem: &Problem<'_, D>,
        tolerance: Option<f64>,
        by_hand: impl Fn() -> T,
    ) -> Result<(), Misuse> {
        self.bar.set_message(what.to_owned());
        self.bar.tick();
        let steps = problem.max_steps();
        let auto = match tolerance {
            Some(atol) => Solver::auto().tolerance(atol, 1e-13),
            None => Solver::auto(),
        };
        let [one, two] = &self.threads;
        let mut runners: Vec<Runner<'_>> = vec![
            Box::new(|| Ok(timed_loop(steps, "loop", &by_hand))),
            Box::new(|| timed(steps, || Ok(Solver::sequential().solve(problem, one)?))),
            Box::new(|| timed(steps, || Ok(auto.solve(problem, one)?))),
            Box::new(|| timed(steps, || Ok(auto.solve(problem, two)?))),
        ];
        let (turns, share) = if self.quick { (1, 1.0) } else { (5, 15.0) };
        let outcomes = race(&mut runners, turns, Duration::from_secs_f64(share))?.0;
        let [.., Outcome { method, sweeps, work, .. }] = &outcomes[..] else { return Ok(()) };
        self.lines.push(Line {
            what: what.to_owned(),
            steps,
            nanoseconds: std::array::from_fn(|i| outcomes[i].ns_per_step()),
            chosen: (method.clone(), *sweeps, *work),
            target,
        });
        Ok(())
    }

    /// An equation without inputs by RK4 from `y0` up to `end`.
    fn explicit<O: Ode<Real = f64>, const M: usize>(
        &mut self,
        (what, target): (&str, Target),
        ode: &O,
        y0: [f64; M],
        (end, steps): (f64, usize),
        by_hand: impl Fn(f64) -> Vec<[f64; M]>,
    ) -> Result<(), Misuse> {
        let times = Array1::linspace(0.0, end, steps + 1);
        let discretized = Discretized::new(ode, &times, Scheme::Rk4);
        let problem = discretized.problem(ArrayView1::from(&y0), nothing().view())?;
        self.add(what, target, &problem, None, || by_hand(end / steps as f64))
    }
}

fn nothing() -> Array2<f64> {
    Array2::zeros((0, 0))
}

/// ẍ = x − x³ − 0.3 ẋ + 0.2 sin 1.2 t.
struct Duffing;

impl Ode for Duffing {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], t: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = y[1];
        dy[1] = y[0] - y[0] * y[0] * y[0] - y[1] * 0.3 + (t * 1.2).sin() * 0.2;
    }
}

struct VanDerPol(f64);

impl Ode for VanDerPol {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = y[1];
        dy[1] = (Constant(1.0) - y[0] * y[0]) * y[1] * self.0 - y[0];
    }
}

struct Lorenz;

impl Ode for Lorenz {
    type Real = f64;
    fn state_dim(&self) -> usize {
        3
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = (y[1] - y[0]) * 10.0;
        dy[1] = y[0] * (Constant(28.0) - y[2]) - y[1];
        dy[2] = y[0] * y[1] - y[2] * (8.0 / 3.0);
    }
}

/// Brusselators in a ring, N / 2 of them, each exchanging with its neighbours what it has: `y` has the activator and the inhibitor of
/// each in turn.
struct Ring<const N: usize>;

impl<const N: usize> Ode for Ring<N> {
    type Real = f64;
    fn state_dim(&self) -> usize {
        N
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        for i in (0..N).step_by(2) {
            let (a, b) = (y[i], y[i + 1]);
            let made = a * a * b;
            dy[i] = Constant(FEED[0]) - (a * (FEED[1] + 1.0) - made - spread(y, i, 0));
            dy[i + 1] = a * FEED[1] - made + spread(y, i, 1);
        }
    }
}

/// What flows in, and how fast activator and inhibitor spread.
const FEED: [f64; 2] = [1.0, 3.0];
const SPREAD: [f64; 2] = [0.1, 0.2];

/// How fast the share of `y` that a neighbour has more of flows in, `k` being 0 for the activator and 1 for the inhibitor.
#[inline(always)]
fn spread<S: Scalar<Real = f64>>(y: &[S], i: usize, k: usize) -> S {
    let n = y.len();
    let (left, right) = ((i + n - 2) % n + k, (i + 2) % n + k);
    (y[left] + y[right] - y[i + k] - y[i + k]) * SPREAD[k]
}

impl<const N: usize> Ring<N> {
    const START: [f64; N] = {
        let (mut y, mut i) = ([0.0; N], 0);
        while i < N {
            y[i] = 1.0 + 0.2 * i as f64;
            y[i + 1] = 3.0 - 0.1 * i as f64;
            i += 2;
        }
        y
    };

    /// The trapezoidal rule (θ = ½) or backward Euler (θ = 1) step by step: Newton's method from where the slope leads, the Jacobian by
    /// hand, and elimination without exchanges, which a matrix so near to the identity does not need.
    #[inline(never)]
    fn step_by_step(&self, mut y: [f64; N], theta: f64, dt: f64, steps: usize) -> Vec<[f64; N]> {
        let slope = |y: &[f64; N]| {
            let mut dy = [0.0; N];
            self.rhs::<f64>(&[], 0.0, y, &[], &mut dy);
            dy
        };
        let weight = theta * dt;
        let mut dy = slope(&y);
        (0..steps)
            .map(|_| {
                let known: [f64; N] = std::array::from_fn(|i| y[i] + (dt - weight) * dy[i]);
                let mut z: [f64; N] = std::array::from_fn(|i| y[i] + dt * dy[i]);
                for _ in 0..MOST {
                    let g = slope(&z);
                    let mut r: [f64; N] = std::array::from_fn(|i| z[i] - weight * g[i] - known[i]);
                    let mut matrix = [[0.0; N]; N];
                    for i in (0..N).step_by(2) {
                        let (left, right) = ((i + N - 2) % N, (i + 2) % N);
                        let (ab, aa) = (2.0 * z[i] * z[i + 1], z[i] * z[i]);
                        for k in 0..2 {
                            matrix[i + k][left + k] -= weight * SPREAD[k];
                            matrix[i + k][right + k] -= weight * SPREAD[k];
                        }
                        matrix[i][i] += 1.0 - weight * (ab - FEED[1] - 1.0 - 2.0 * SPREAD[0]);
                        matrix[i][i + 1] = -weight * aa;
                        matrix[i + 1][i] = -weight * (FEED[1] - ab);
                        matrix[i + 1][i + 1] += 1.0 + weight * (aa + 2.0 * SPREAD[1]);
                    }
                    for c in 0..N {
                        let inverse = 1.0 / matrix[c][c];
                        for row in c + 1..N {
                            let factor = matrix[row][c] * inverse;
                            // By iterators the compiler makes it a third slower.
                            #[allow(clippy::needless_range_loop)]
                            for j in c + 1..N {
                                matrix[row][j] -= factor * matrix[c][j];
                            }
                            r[row] -= factor * r[c];
                        }
                        matrix[c][c] = inverse;
                    }
                    for c in (0..N).rev() {
                        for j in c + 1..N {
                            r[c] -= matrix[c][j] * r[j];
                        }
                        r[c] *= matrix[c][c];
                    }
                    let mut largest = 0.0f64;
                    for (z, r) in z.iter_mut().zip(&r) {
                        *z -= r;
                        largest = largest.max(r.abs());
                    }
                    if largest < ENOUGH {
                        break;
                    }
                }
                dy = std::array::from_fn(|i| (z[i] - known[i]) / weight);
                y = z;
                y
            })
            .collect()
    }
}

impl VanDerPol {
    /// The trapezoidal rule step by step: Newton's method from where the slope leads, derivatives and elimination by hand.
    #[inline(never)]
    fn trapezoidal(&self, mut y: [f64; 2], dt: f64, steps: usize) -> Vec<[f64; 2]> {
        let (half, mu) = (0.5 * dt, self.0);
        let slope = |y: &[f64; 2]| [y[1], mu * (1.0 - y[0] * y[0]) * y[1] - y[0]];
        let mut dy = slope(&y);
        (0..steps)
            .map(|_| {
                let known = [y[0] + half * dy[0], y[1] + half * dy[1]];
                let mut z = [y[0] + dt * dy[0], y[1] + dt * dy[1]];
                for _ in 0..MOST {
                    let g = slope(&z);
                    let r = [z[0] - half * g[0] - known[0], z[1] - half * g[1] - known[1]];
                    let c = half * (2.0 * mu * z[0] * z[1] + 1.0);
                    let d = 1.0 - half * mu * (1.0 - z[0] * z[0]);
                    let inverse = 1.0 / (d + half * c);
                    let correction =
                        [(d * r[0] + half * r[1]) * inverse, (r[1] - c * r[0]) * inverse];
                    z = [z[0] - correction[0], z[1] - correction[1]];
                    if correction[0].abs().max(correction[1].abs()) < ENOUGH {
                        break;
                    }
                }
                // Without another evaluation: y⁺ − Δt/2 ẏ⁺ is what was known.
                dy = [(z[0] - known[0]) / half, (z[1] - known[1]) / half];
                y = z;
                y
            })
            .collect()
    }

    /// Backward Euler in the same way.
    #[inline(never)]
    fn backward_euler(&self, mut y: [f64; 2], dt: f64, steps: usize) -> Vec<[f64; 2]> {
        let mu = self.0;
        let mut dy = [y[1], mu * (1.0 - y[0] * y[0]) * y[1] - y[0]];
        (0..steps)
            .map(|_| {
                let mut z = [y[0] + dt * dy[0], y[1] + dt * dy[1]];
                for _ in 0..MOST {
                    let g = [z[1], mu * (1.0 - z[0] * z[0]) * z[1] - z[0]];
                    let r = [z[0] - dt * g[0] - y[0], z[1] - dt * g[1] - y[1]];
                    let c = dt * (2.0 * mu * z[0] * z[1] + 1.0);
                    let d = 1.0 - dt * mu * (1.0 - z[0] * z[0]);
                    let inverse = 1.0 / (d + dt * c);
                    let correction =
                        [(d * r[0] + dt * r[1]) * inverse, (r[1] - c * r[0]) * inverse];
                    z = [z[0] - correction[0], z[1] - correction[1]];
                    if correction[0].abs().max(correction[1].abs()) < ENOUGH {
                        break;
                    }
                }
                dy = [(z[0] - y[0]) / dt, (z[1] - y[1]) / dt];
                y = z;
                y
            })
            .collect()
    }
}

/// A correction after which the next is below rounding.
const ENOUGH: f64 = 1e-8;
/// Newton iterations of a step by hand.
const MOST: usize = 50;

/// Measures all of them, or with `--quick` at small sizes.
pub(crate) fn measure(options: &Options) -> Result<Vec<Line>, Misuse> {
    let threads = [Cpu::with_threads(1)?, Cpu::with_threads(2)?];
    let bar = ProgressBar::new_spinner();
    let mut measured = Measured { lines: Vec::new(), threads, bar, quick: options.quick };
    let steps = if options.quick { 10_000 } else { 1_000_000 };
    explicit(&mut measured, steps)?;
    implicit(&mut measured, steps)?;
    pendulum(&mut measured)?;
    clipper(&mut measured)?;
    measured.bar.finish_and_clear();
    Ok(measured.lines)
}

fn explicit(measured: &mut Measured, steps: usize) -> Result<(), Misuse> {
    let to = |end| (end, steps);
    let y0 = [0.5, 0.0];
    let what = "forced Duffing, 100 s, RK4";
    measured.explicit((what, Times(8.0)), &Duffing, y0, to(100.0), |dt| {
        let slope = |y: &[f64; 3]| {
            [y[1], y[0] - y[0] * y[0] * y[0] - 0.3 * y[1] + 0.2 * (1.2 * y[2]).sin(), 1.0]
        };
        // Time beside the state.
        rk4(slope, [y0[0], y0[1], 0.0], dt, steps).iter().map(|y| [y[0], y[1]]).collect()
    })?;
    let y0 = [2.0, 0.0];
    let what = "Van der Pol, μ = 2, 50 s, RK4";
    measured.explicit((what, Times(2.0)), &VanDerPol(2.0), y0, to(50.0), |dt| {
        rk4(|y| [y[1], 2.0 * (1.0 - y[0] * y[0]) * y[1] - y[0]], y0, dt, steps)
    })?;
    let y0 = [0.5, 0.0, -0.5, 0.0, 0.0, 0.7, 0.0, -0.7];
    let what = "two bodies, 20 s, RK4";
    measured.explicit((what, Times(1.5)), &TwoBody, y0, to(20.0), |dt| {
        TwoBody::step_by_step(y0, dt, steps)
    })?;
    let y0 = [1.0, 1.0, 20.0];
    let what = "Lorenz, 20 s, RK4";
    measured.explicit((what, Times(0.87)), &Lorenz, y0, to(20.0), |dt| {
        let slope = |y: &[f64; 3]| {
            [10.0 * (y[1] - y[0]), y[0] * (28.0 - y[2]) - y[1], y[0] * y[1] - 8.0 / 3.0 * y[2]]
        };
        rk4(slope, y0, dt, steps)
    })?;
    let (network, y0) = neural_ode::reference()?;
    let y0 = std::array::from_fn(|i| y0[i]);
    let what = "neural ODE, RK4";
    let few = 9_999;
    measured.explicit((what, Milliseconds(5.0)), &network, y0, (1.0, few), |dt| {
        network.step_by_step(y0, dt, few)
    })
}

fn implicit(measured: &mut Measured, steps: usize) -> Result<(), Misuse> {
    oscillator(measured, (2.0, 50.0), steps)?;
    // Before it jumps, where no step may be as long as these.
    oscillator(measured, (1000.0, 700.0), steps)?;
    ring::<4>(measured, steps)?;
    ring::<8>(measured, steps)
}

/// Van der Pol's from (2, 0) up to `end`.
fn oscillator(measured: &mut Measured, (mu, end): (f64, f64), steps: usize) -> Result<(), Misuse> {
    type Loop = fn(&VanDerPol, [f64; 2], f64, usize) -> Vec<[f64; 2]>;
    let (ode, y0) = (VanDerPol(mu), [2.0, 0.0]);
    let times = Array1::linspace(0.0, end, steps + 1);
    let schemes: [(_, _, Loop); 2] = [
        (Scheme::Trapezoidal, "trapezoidal", VanDerPol::trapezoidal),
        (Scheme::BackwardEuler, "backward Euler", VanDerPol::backward_euler),
    ];
    for (scheme, name, by_hand) in schemes {
        let discretized = ImplicitDiscretized::new(&ode, &times, scheme);
        let problem = discretized.problem(ArrayView1::from(&y0), nothing().view())?;
        let what = format!("Van der Pol, μ = {mu}, {end} s, {name}");
        measured.add(&what, Times(3.0), &problem, None, || {
            by_hand(&ode, y0, end / steps as f64, steps)
        })?;
    }
    Ok(())
}

fn ring<const N: usize>(measured: &mut Measured, steps: usize) -> Result<(), Misuse> {
    let ode = Ring::<N>;
    let end = 20.0;
    let times = Array1::linspace(0.0, end, steps + 1);
    let dt = end / steps as f64;
    for (scheme, name, theta) in
        [(Scheme::Trapezoidal, "trapezoidal", 0.5), (Scheme::BackwardEuler, "backward Euler", 1.0)]
    {
        let discretized = ImplicitDiscretized::new(&ode, &times, scheme);
        let problem = discretized.problem(ArrayView1::from(&Ring::<N>::START), nothing().view())?;
        let what = format!("ring of {} Brusselators, 20 s, {name}", N / 2);
        measured.add(&what, Times(3.0), &problem, None, || {
            ode.step_by_step(Ring::<N>::START, theta, dt, steps)
        })?;
    }
    Ok(())
}

fn pendulum(measured: &mut Measured) -> Result<(), Misuse> {
    let pendulum = Pendulum { gravity: [10.0] };
    for (points, most) in [(1_000, 2.0), (10_000, 15.0)] {
        let times = Array1::linspace(0.0, 2.0, points);
        let discretized = ImplicitDiscretized::of_dae(&pendulum, &times, Scheme::BackwardEuler);
        let problem = discretized.problem(ArrayView1::from(&Pendulum::START), nothing().view())?;
        let what = "pendulum of index 3, backward Euler";
        measured.add(what, Milliseconds(most), &problem, None, || {
            pendulum.step_by_step(times[1], points - 1)
        })?;
    }
    Ok(())
}

/// A sum of tones at eight times 48 kHz: like a voice, most of the time somewhere between the rails.
fn clipper(measured: &mut Measured) -> Result<(), Misuse> {
    let (rate, seconds) = (8.0 * 48_000.0, if measured.quick { 0.1 } else { 10.0 });
    let sound = |k: usize| {
        let angle = std::f64::consts::TAU * k as f64 / rate;
        let loudness = (2.0 * angle).sin();
        5.0 * loudness * loudness * ((220.0 * angle).sin() + (1_300.0 * angle).sin())
    };
    let u: Vec<f64> = (0..=(seconds * rate) as usize).map(sound).collect();
    let clipper = Clipper::new(1.0 / rate);
    let inputs = ArrayView1::from(&u[1..]).insert_axis(ndarray::Axis(1));
    let x0 = Array1::from_iter(clipper.discharged(u[0]));
    let unrolled = Unrolled { clipper, iterations: 4 };
    let problem = Problem::new(&unrolled, x0.view(), inputs)?;
    let by_hand = || clipper.sample_by_sample(&u);
    let what = "diode clipper, 48 kHz × 8, trapezoidal, 4 iterations a step";
    measured.add(what, Times(8.0), &problem, Some(3e-12), by_hand)?;
    let implicit = Implicit::new(clipper);
    let problem = Problem::new(&implicit, x0.view(), inputs)?;
    let what = "diode clipper, 48 kHz × 8, trapezoidal, `Implicit`";
    measured.add(what, Times(8.0), &problem, Some(3e-12), by_hand)
}

/// As a Markdown table.
pub(crate) fn markdown(lines: &[Line]) -> String {
    let mut text = "\n**Equations in time** (float64, nanoseconds a step; the target is that of 2 threads)\n\n| | T | \
                    loop by hand | `sequential` | `auto`, 1 thread | 2 threads | chosen | target | measured | |\n\
                    |---|---:|---:|---:|---:|---:|---|---:|---:|---|\n"
        .to_owned();
    for Line { what, steps, nanoseconds, chosen: (method, sweeps, work), target } in lines {
        let [plain, sequential, one, two] = nanoseconds.map(significant);
        let milliseconds = nanoseconds[3] * *steps as f64 * 1e-6;
        let times = nanoseconds[0] / nanoseconds[3];
        let (target, measured, met) = match *target {
            Times(least) => {
                (format!("≥ {least}×"), format!("{}×", significant(times)), times >= least)
            }
            Milliseconds(most) => {
                let measured = format!("{} ms", significant(milliseconds));
                (format!("≤ {most} ms"), measured, milliseconds <= most)
            }
        };
        let verdict = if met { "met" } else { "**missed**" };
        text.push_str(&format!(
            "| {what} | {} | {plain} | {sequential} | {one} | {two} | {method}, {sweeps}, {work:.2} | {target} | \
             {measured} | {verdict} |\n",
            length(*steps)
        ));
    }
    text
}
