//! States taken through elements, forwards and back.

use super::matrix::{add_transposed_product, multiply, solve, symmetrise};
use super::{KalmanFilter, dot, one_plus_product};
use crate::scalar::Real;

impl KalmanFilter {
    /// Takes a normal state (`mean` `[n]`, `variance`) through an element: becomes that after it.
    pub(crate) fn advance<R: Real>(&self, element: &[R], mean: &mut [R], variance: &mut [R]) {
        let parts = self.parts(element);
        let largest = self.largest();
        let mut matrix = vec![R::default(); largest * largest];
        let mut right = vec![R::default(); largest * (largest + 1)];
        let mut product = right.clone();
        for (rows, entries) in self.squares() {
            let size = rows.len();
            let (a, j) = (&parts.a[entries.clone()], &parts.j[entries.clone()]);
            let (mean, c) = (&mut mean[rows.clone()], &mut variance[entries.clone()]);
            one_plus_product(size, c, j, &mut matrix);
            // Columns: W C, W (b + C η).
            for i in 0..size {
                let row = &mut right[i * (size + 1)..(i + 1) * (size + 1)];
                row[..size].copy_from_slice(&c[i * size..(i + 1) * size]);
                row[size] = mean[i] + dot(&c[i * size..(i + 1) * size], &parts.eta[rows.clone()]);
            }
            let right = &mut right[..size * (size + 1)];
            solve(size, size + 1, &mut matrix[..size * size], right);
            multiply(size, size + 1, a, right, &mut product);
            for i in 0..size {
                let row = &product[i * (size + 1)..(i + 1) * (size + 1)];
                mean[i] = row[size] + parts.b[rows.start + i];
                for k in 0..size {
                    c[i * size + k] = dot(&row[..size], &a[k * size..(k + 1) * size])
                        + parts.c[entries.start + i * size + k];
                }
            }
            symmetrise(size, c);
        }
    }

    /// Takes what later observations say of the state after an element (`eta` `[n]`, `information`) back through
    /// it: becomes what they and its own say of the state before it.
    pub(crate) fn retreat<R: Real>(&self, element: &[R], eta: &mut [R], information: &mut [R]) {
        let parts = self.parts(element);
        let largest = self.largest();
        let mut matrix = vec![R::default(); largest * largest];
        let mut solved = matrix.clone();
        let mut product = solved.clone();
        for (rows, entries) in self.squares() {
            let size = rows.len();
            let (a, b) = (&parts.a[entries.clone()], &parts.b[rows.clone()]);
            let (eta, j) = (&mut eta[rows.clone()], &mut information[entries.clone()]);
            one_plus_product(size, &parts.c[entries.clone()], j, &mut matrix);
            let solved = &mut solved[..size * size];
            solved.copy_from_slice(a);
            solve(size, size, &mut matrix[..size * size], solved);
            multiply(size, size, j, a, &mut product);
            let mut left = eta.to_vec();
            for i in 0..size {
                left[i] -= dot(&j[i * size..(i + 1) * size], b);
            }
            j.copy_from_slice(&parts.j[entries.clone()]);
            eta.copy_from_slice(&parts.eta[rows]);
            add_transposed_product(size, size, solved, &product, j);
            add_transposed_product(size, 1, solved, &left, eta);
            symmetrise(size, j);
        }
    }

    /// The most probable state, from what the earlier observations say of it (`mean`, `variance`) and what the later
    /// ones say (`eta`, `information`).
    pub(crate) fn posterior<R: Real>(
        &self,
        (mean, variance): (&[R], &[R]),
        (eta, information): (&[R], &[R]),
        out: &mut [R],
    ) {
        let largest = self.largest();
        let mut matrix = vec![R::default(); largest * largest];
        for (rows, entries) in self.squares() {
            let size = rows.len();
            let c = &variance[entries.clone()];
            one_plus_product(size, c, &information[entries], &mut matrix);
            let out = &mut out[rows.clone()];
            for i in 0..size {
                let row = &c[i * size..(i + 1) * size];
                out[i] = mean[rows.start + i] + dot(row, &eta[rows.clone()]);
            }
            solve(size, 1, &mut matrix[..size * size], out);
        }
    }
}
