//! DEER's scheme: the equation with the mean Jacobian of both ends, solved exactly over the step.
//!
//! With $G = -\partial g / \partial y$ and $z = g + G y$ at both ends, $\gamma$ and $\zeta$ the means of $G$ and $z$ times $\Delta t$,
//!
//! $$ y^+ = e^{-\gamma} y + \varphi_1(-\gamma)\,\zeta, \qquad \varphi_1(x) = (e^x - 1) / x $$
//!
//! (Lim et al. 2024, arXiv:2309.12252, section 3.3, which truncates both functions to polynomials). Both come from one exponential,
//! that of $\begin{pmatrix} -\gamma & \zeta \\ 0 & 0 \end{pmatrix}$, by scaling and squaring of the Padé approximant of degrees 3 and 4,
//! which decays for large $\gamma$. Its error is below $10^{-13}$ for $\|\gamma\| \le 4$ and grows with $\|\gamma\|^8$ beyond, where the scheme's own
//! is larger, but for linear equations, which have none.

use super::Ode;
use crate::dynamics::elimination::Elimination;
use crate::ode::sampling::Sample;
use crate::scalar::{Dual, Param, Scalar};

/// Squarings.
const SQUARINGS: u32 = 6;
/// Coefficients of the numerator, `(7−k)! 3! / (7! k! (3−k)!)`.
const NUMERATOR: [f64; 4] = [1.0, 3.0 / 7.0, 1.0 / 14.0, 1.0 / 210.0];
/// Of the denominator, with signs: `(−1)^k (7−k)! 4! / (7! k! (4−k)!)`.
const DENOMINATOR: [f64; 5] = [1.0, -4.0 / 7.0, 1.0 / 7.0, -2.0 / 105.0, 1.0 / 840.0];

pub(super) fn scratch_dim(n: usize) -> usize {
    let square = (n + 1) * (n + 1);
    4 * square
}

/// The residual of a step from `x` to `z`.
#[inline(always)]
pub(super) fn residual<O: Ode, S: Scalar<Real = O::Real>>(
    ode: &O,
    params: &[Param<S>],
    step: Sample<'_, S>,
    z: &[S],
    x: &[S],
    r: &mut [S],
    work: &mut [S],
) {
    let n = x.len();
    let k = n + 1;
    let (zero, one) = (S::from_f64(0.0), S::from_f64(1.0));
    let (matrix, work) = work.split_at_mut(k * k);
    let (power, work) = work.split_at_mut(k * k);
    let (product, numerator) = work.split_at_mut(k * k);
    matrix.fill(zero);
    let scale = step.dt * S::from_f64(0.5 / f64::from(1 << SQUARINGS));
    accumulate(ode, params, step.t, x, step.from, scale, matrix);
    accumulate(ode, params, step.t + step.dt, z, step.to, scale, matrix);

    // Numerator and denominator, power by power.
    let mut denominator = Elimination::new(k);
    for i in 0..k * k {
        let identity = if i % (k + 1) == 0 { one } else { zero };
        power[i] = identity;
        numerator[i] = identity;
        denominator.matrix[i] = identity;
    }
    for (degree, &coefficient) in DENOMINATOR.iter().enumerate().skip(1) {
        multiply(k, power, matrix, product);
        power.copy_from_slice(product);
        for i in 0..k * k {
            if let Some(&coefficient) = NUMERATOR.get(degree) {
                numerator[i] = power[i].mul_add(S::from_f64(coefficient), numerator[i]);
            }
            denominator.matrix[i] =
                power[i].mul_add(S::from_f64(coefficient), denominator.matrix[i]);
        }
    }
    denominator.factor();
    let column = &mut matrix[..k];
    for j in 0..k {
        for i in 0..k {
            column[i] = numerator[i * k + j];
        }
        denominator.solve(column);
        for i in 0..k {
            power[i * k + j] = column[i];
        }
    }
    for _ in 0..SQUARINGS {
        multiply(k, power, power, product);
        power.copy_from_slice(product);
    }
    for i in 0..n {
        let mut end = power[i * k + n];
        for j in 0..n {
            end = power[i * k + j].mul_add(x[j], end);
        }
        r[i] = z[i] - end;
    }
}

/// Adds `scale` times `∂g/∂y`, and `g − ∂g/∂y · y` as the last column, to `matrix` `[n + 1, n + 1]`.
#[inline(always)]
fn accumulate<O: Ode, S: Scalar<Real = O::Real>>(
    ode: &O,
    params: &[Param<S>],
    t: S,
    y: &[S],
    u: &[S],
    scale: S,
    matrix: &mut [S],
) {
    let n = y.len();
    let (k, zero) = (n + 1, S::from_f64(0.0));
    let dual = |x: &S| Dual::<S, 1>::new(*x, [zero]);
    let mut at: Vec<_> = y.iter().map(dual).collect();
    let inputs: Vec<_> = u.iter().map(dual).collect();
    let mut slope = vec![Dual::new(zero, [zero]); n + ode.scratch_dim()];
    for column in 0..n {
        at[column].tangents[0] = S::from_f64(1.0);
        ode.rhs(params, dual(&t), &at, &inputs, &mut slope);
        at[column].tangents[0] = zero;
        for i in 0..n {
            let tangent = slope[i].tangents[0] * scale;
            matrix[i * k + column] += tangent;
            matrix[i * k + n] -= tangent * y[column];
            if column == 0 {
                matrix[i * k + n] += slope[i].value * scale;
            }
        }
    }
}

/// `out = a · b`, `[k, k]`.
#[inline(always)]
fn multiply<S: Scalar>(k: usize, a: &[S], b: &[S], out: &mut [S]) {
    for i in 0..k {
        for j in 0..k {
            let mut sum = a[i * k] * b[j];
            for l in 1..k {
                sum = a[i * k + l].mul_add(b[l * k + j], sum);
            }
            out[i * k + j] = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ode::Interpolation;
    use crate::ode::sampling::Sampling;

    /// y' = rate · y + 1.
    struct Linear(f64);
    impl Ode for Linear {
        type Real = f64;
        fn state_dim(&self) -> usize {
            1
        }
        fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
            dy[0] = y[0] * self.0 + 1.0;
        }
    }

    #[test]
    fn exact_for_linear_equations_and_stable_for_stiff_ones() {
        let sampling = Sampling { m: 0, interpolation: Interpolation::Held, ratio: false };
        for rate in [-1e9, -1e4, -30.0, -2.0, -0.1, 1e-9, 0.5, 2.0] {
            let (mut r, mut work) = ([0.0], vec![0.0; scratch_dim(1)]);
            residual(
                &Linear(rate),
                &[],
                sampling.of(&[0.0, 1.0]),
                &[0.0],
                &[3.0],
                &mut r,
                &mut work,
            );
            let exact = 3.0 * f64::exp(rate) + f64::exp_m1(rate) / rate;
            let bound = if rate < -4.0 { 1e-4 } else { 1e-13 * exact.abs() };
            assert!((-r[0] - exact).abs() <= bound, "{rate}: {} {exact}", -r[0]);
        }
    }
}
