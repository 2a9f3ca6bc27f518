//! Non-stiff problems of the DETEST set (Hull, Enright, Fellen & Sedgwick, SIAM J. Numer. Anal. 9, 1972) with a known solution.

use deer_solver::ode::Ode;
use deer_solver::scalar::{Constant, Param, Scalar};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Detest {
    A1,
    A2,
    A3,
    A4,
    A5,
    B2,
    B5,
    /// Two bodies, with the eccentricity.
    D(f64),
    E1,
    E5,
}

pub(crate) const PROBLEMS: [Detest; 12] = [
    Detest::A1,
    Detest::A2,
    Detest::A3,
    Detest::A4,
    Detest::A5,
    Detest::B2,
    Detest::B5,
    Detest::D(0.1),
    Detest::D(0.5),
    Detest::D(0.9),
    Detest::E1,
    Detest::E5,
];

impl Detest {
    pub(crate) fn exact(self, t: f64) -> Vec<f64> {
        match self {
            Detest::A1 => vec![(-t).exp()],
            Detest::A2 => vec![1.0 / (1.0 + t).sqrt()],
            Detest::A3 => vec![t.sin().exp()],
            Detest::A4 => vec![20.0 / (1.0 + 19.0 * (-0.25 * t).exp())],
            Detest::A5 => vec![spiral(t)],
            Detest::B2 => {
                let (slow, fast) = ((-t).exp(), (-3.0 * t).exp());
                vec![1.0 + 0.5 * (slow + fast), 1.0 - fast, 1.0 - 0.5 * (slow - fast)]
            }
            Detest::B5 => jacobi_elliptic(t, 0.51),
            Detest::D(eccentricity) => kepler(t, eccentricity),
            Detest::E1 => {
                let x = t + 1.0;
                let scale = (2.0 / (std::f64::consts::PI * x)).sqrt();
                vec![scale * x.sin(), scale * (x.cos() - 0.5 * x.sin() / x)]
            }
            Detest::E5 => {
                let left = 1.0 - t / 25.0;
                let climbed = -left.ln() - 0.5 * (1.0 - left * left);
                vec![12.5 * climbed, 0.5 * (1.0 / left - left)]
            }
        }
    }
}

/// The solution of A5, `ln √(t² + y²) + atan(t / y) …`: `y' = (y − t)/(y + t)` turns and shrinks, and in polar coordinates `ln r + φ` is
/// constant, where `φ` is the angle from the t-axis; solved by bisection.
fn spiral(t: f64) -> f64 {
    let invariant = |y: f64| 0.5 * (t * t + y * y).ln() + y.atan2(t);
    let wanted = 4f64.ln() + std::f64::consts::FRAC_PI_2;
    let (mut low, mut high) = (-t, 10.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if invariant(middle) < wanted { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// `sn`, `cn`, `dn` of `t` with the parameter `m`, by descending means (Abramowitz & Stegun 16.4).
fn jacobi_elliptic(t: f64, m: f64) -> Vec<f64> {
    let (mut a, mut b) = (1.0, (1.0 - m).sqrt());
    let mut ratios = Vec::new();
    let mut power = 1.0;
    for _ in 0..8 {
        let c = 0.5 * (a - b);
        (a, b) = (0.5 * (a + b), (a * b).sqrt());
        ratios.push(c / a);
        power *= 2.0;
    }
    let mut phase = power * a * t;
    for ratio in ratios.iter().rev() {
        phase = 0.5 * (phase + (ratio * phase.sin()).asin());
    }
    let sine = phase.sin();
    vec![sine, phase.cos(), (1.0 - m * sine * sine).sqrt()]
}

/// An orbit of unit semi-major axis from its pericentre, by Kepler's equation.
fn kepler(t: f64, e: f64) -> Vec<f64> {
    let (mut low, mut high) = (t - 1.0, t + 1.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle - e * middle.sin() < t { low = middle } else { high = middle }
    }
    let anomaly = 0.5 * (low + high);
    let (sine, cosine) = anomaly.sin_cos();
    let (root, rate) = ((1.0 - e * e).sqrt(), 1.0 / (1.0 - e * cosine));
    vec![cosine - e, root * sine, -rate * sine, rate * root * cosine]
}

impl Ode for Detest {
    type Real = f64;
    fn state_dim(&self) -> usize {
        match self {
            Detest::A1 | Detest::A2 | Detest::A3 | Detest::A4 | Detest::A5 => 1,
            Detest::E1 | Detest::E5 => 2,
            Detest::B2 | Detest::B5 => 3,
            Detest::D(_) => 4,
        }
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], t: S, y: &[S], _: &[S], dy: &mut [S]) {
        match self {
            Detest::A1 => dy[0] = -y[0],
            Detest::A2 => dy[0] = y[0] * y[0] * y[0] * -0.5,
            Detest::A3 => dy[0] = y[0] * t.cos(),
            Detest::A4 => dy[0] = y[0] * 0.25 * (Constant(1.0) - y[0] * 0.05),
            Detest::A5 => dy[0] = (y[0] - t) / (y[0] + t),
            Detest::B2 => {
                dy[0] = y[1] - y[0];
                dy[1] = y[0] - y[1] * 2.0 + y[2];
                dy[2] = y[1] - y[2];
            }
            Detest::B5 => {
                dy[0] = y[1] * y[2];
                dy[1] = -(y[0] * y[2]);
                dy[2] = y[0] * y[1] * -0.51;
            }
            Detest::D(_) => {
                let square = y[0] * y[0] + y[1] * y[1];
                let cube = square * square.sqrt();
                (dy[0], dy[1]) = (y[2], y[3]);
                (dy[2], dy[3]) = (-y[0] / cube, -y[1] / cube);
            }
            Detest::E1 => {
                let x = t + 1.0;
                dy[0] = y[1];
                dy[1] = -(y[1] / x + (Constant(1.0) - Constant(0.25) / (x * x)) * y[0]);
            }
            Detest::E5 => {
                dy[0] = y[1];
                dy[1] = (y[1] * y[1] + 1.0).sqrt() / (Constant(25.0) - t);
            }
        }
    }
}
