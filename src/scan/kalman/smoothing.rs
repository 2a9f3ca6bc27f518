//! Filter and smoother a step at a time.

// A closure handed to an iterator may be left out of line, without the kernel's instructions.
#![allow(clippy::needless_range_loop)]

use super::matrix::{
    add_transposed_product, factor, multiply, multiply_transposed, solve_factored, symmetrise,
};
use crate::scalar::Scalar;

/// One step of the filter and of the smoother over a block of components, of numbers or lanes.
///
/// The filter's gain needs no general elimination here: with `S = (1 − κ) I + κ P`, `P = F C Fᵀ + I`, everything
/// follows from systems with `S` and `P`, which are at least the identity's size.
#[derive(Clone, Debug)]
pub(crate) struct Smoothing<S> {
    /// Components of the block at hand.
    n: usize,
    /// `F C`
    crossed: Vec<S>,
    /// `P = F C Fᵀ + I`
    predicted: Vec<S>,
    factored: Vec<S>,
    work: Vec<S>,
    vector: Vec<S>,
}

impl<S: Scalar> Smoothing<S> {
    /// For blocks of up to `largest` components.
    #[inline(always)]
    pub(crate) fn new(largest: usize, zero: S) -> Self {
        let square = vec![zero; largest * largest];
        Self {
            n: largest,
            crossed: square.clone(),
            predicted: square.clone(),
            factored: square.clone(),
            work: square,
            vector: vec![zero; largest],
        }
    }

    /// Takes in a step's `F` `[n, n]`, after a state with variance `c`.
    #[inline(always)]
    pub(crate) fn predict(&mut self, n: usize, f: &[S], c: &[S]) {
        self.n = n;
        multiply(n, n, f, c, &mut self.crossed);
        multiply_transposed(n, &self.crossed, f, &mut self.predicted);
        symmetrise(n, &mut self.predicted);
        for i in 0..n {
            self.predicted[i * (n + 1)] += S::from_f64(1.0);
        }
    }

    /// The map back, `x_{t−1} = E x_t + g`: `E = C Fᵀ P⁻¹`, `g = b − E (F b + u)`.
    #[inline(always)]
    pub(crate) fn smooth(&mut self, f: &[S], b: &[S], u: &[S], gain: &mut [S], g: &mut [S]) {
        let n = self.n;
        let square = n * n;
        self.factored[..square].copy_from_slice(&self.predicted[..square]);
        factor(n, &mut self.factored);
        self.work[..square].copy_from_slice(&self.crossed[..square]);
        solve_factored(n, n, &self.factored, &mut self.work);
        for i in 0..n {
            for k in 0..n {
                gain[i * n + k] = self.work[k * n + i];
            }
        }
        multiply(n, 1, f, b, &mut self.vector);
        for i in 0..n {
            self.vector[i] += u[i];
        }
        for i in 0..n {
            let mut sum = b[i];
            for k in 0..n {
                sum -= gain[i * n + k] * self.vector[k];
            }
            g[i] = sum;
        }
    }

    /// Takes in the observation, `y = 0`, of the state after the step, whose mean was `f b + u`: `b` and `c` become its mean and
    /// variance, `(1 − κ) S⁻¹ (F b + u)` and `(1 − κ) S⁻¹ P`. Leaves the factor of `S`.
    #[inline(always)]
    pub(crate) fn observe(
        &mut self,
        (kappa, rest): (S, S),
        f: &[S],
        u: &[S],
        b: &mut [S],
        c: &mut [S],
    ) {
        let n = self.n;
        let square = n * n;
        for i in 0..square {
            self.factored[i] = self.predicted[i] * kappa;
        }
        for i in 0..n {
            self.factored[i * (n + 1)] += rest;
        }
        factor(n, &mut self.factored);
        multiply(n, 1, f, b, &mut self.vector);
        for i in 0..n {
            self.vector[i] += u[i];
            b[i] = self.vector[i];
        }
        solve_factored(n, 1, &self.factored, b);
        c.copy_from_slice(&self.predicted[..square]);
        solve_factored(n, n, &self.factored, c);
        symmetrise(n, c);
        for x in b.iter_mut().chain(c) {
            *x *= rest;
        }
    }

    /// Takes an element of the steps before on through the step that [`observe`](Self::observe) has taken in, in what depends on the
    /// state before them: `A = (1 − κ) H`, `η −= κ Hᵀ (F b + u)`, `J += κ (F A)ᵀ H` with `H = S⁻¹ F A`.
    #[inline(always)]
    pub(crate) fn extend(
        &mut self,
        (kappa, rest): (S, S),
        f: &[S],
        a: &mut [S],
        eta: &mut [S],
        j: &mut [S],
    ) {
        let n = self.n;
        let product = &mut self.crossed[..n * n];
        multiply(n, n, f, a, product);
        a.copy_from_slice(product);
        solve_factored(n, n, &self.factored, a);
        for x in product.iter_mut() {
            *x *= kappa;
        }
        add_transposed_product(n, n, product, a, j);
        symmetrise(n, j);
        for x in &mut self.vector[..n] {
            *x *= -kappa;
        }
        add_transposed_product(n, 1, a, &self.vector, eta);
        for x in a {
            *x *= rest;
        }
    }
}
