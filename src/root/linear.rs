//! Small dense systems of linear equations, in double precision.

/// Solves `A x = b` for `a` `[n, n]` by elimination with partial pivoting, rows scaled to a largest entry of 1. None where `A` is singular
/// to working precision.
pub(super) fn solve(a: &[f64], b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    let (mut a, mut x) = (a.to_vec(), b.to_vec());
    for row in 0..n {
        let largest = a[row * n..(row + 1) * n].iter().fold(0.0f64, |l, a| l.max(a.abs()));
        if !(largest > 0.0 && largest.is_finite()) {
            return None;
        }
        a[row * n..(row + 1) * n].iter_mut().for_each(|a| *a /= largest);
        x[row] /= largest;
    }
    // What a column is of at the start, so that the units of unknowns do not count.
    let size: Vec<f64> =
        (0..n).map(|c| (0..n).fold(0.0f64, |l, r| l.max(a[r * n + c].abs()))).collect();
    for c in 0..n {
        let pivot =
            (c..n).fold(c, |p, r| if a[r * n + c].abs() > a[p * n + c].abs() { r } else { p });
        if a[pivot * n + c].abs() <= 16.0 * n as f64 * f64::EPSILON * size[c] {
            return None;
        }
        for k in 0..n {
            a.swap(c * n + k, pivot * n + k);
        }
        x.swap(c, pivot);
        for r in c + 1..n {
            let factor = a[r * n + c] / a[c * n + c];
            if factor != 0.0 {
                for k in c..n {
                    a[r * n + k] -= factor * a[c * n + k];
                }
                x[r] -= factor * x[c];
            }
        }
    }
    for r in (0..n).rev() {
        let known: f64 = (r + 1..n).map(|k| a[r * n + k] * x[k]).sum();
        x[r] = (x[r] - known) / a[r * n + r];
    }
    x.iter().all(|x| x.is_finite()).then_some(x)
}

/// The step of Levenberg and Marquardt: minimises `|A x − b|² + λ |D x|²`, with `D` the norms of the columns of `a` `[n, n]`. None where that is
/// singular.
pub(super) fn damped_least_squares(a: &[f64], b: &[f64], lambda: f64) -> Option<Vec<f64>> {
    let n = b.len();
    let mut normal = vec![0.0; n * n];
    let mut right = vec![0.0; n];
    for r in 0..n {
        for i in 0..n {
            right[i] += a[r * n + i] * b[r];
            for j in 0..n {
                normal[i * n + j] += a[r * n + i] * a[r * n + j];
            }
        }
    }
    let largest = (0..n).fold(0.0f64, |l, i| l.max(normal[i * n + i]));
    for i in 0..n {
        // A column of zeros must not leave its unknown free.
        normal[i * n + i] += lambda * normal[i * n + i].max(f64::EPSILON * largest);
    }
    solve(&normal, &right)
}
