//! The Kalman element: associativity, and its scans against dense elimination.

#![cfg(feature = "cpu")]

use deer_solver::scan::{
    AffineBlocks, AffineDense, AffineDiagonal, KalmanFilter, Opposite, ScanOp,
};
use deer_solver::{Cpu, Real};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `min ½ Σ ‖x_t − F_t x_{t−1} − u_t‖² + (λ/2) Σ ‖x_t − y_t‖²`, `x_0` given and in `u_1`, `F` in blocks.
struct Model<R> {
    op: KalmanFilter,
    n: usize,
    size: usize,
    lambda: f64,
    /// `[T, n · size]`
    f: Vec<R>,
    /// `[T, n]`
    u: Vec<R>,
    y: Vec<R>,
}

impl<R: Real> Model<R> {
    fn random(n: usize, size: usize, steps: usize, radius: f64, lambda: f64, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut numbers = |count: usize, size: f64| -> Vec<R> {
            (0..count).map(|_| R::from_f64(size * rng.random_range(-1.0..1.0))).collect()
        };
        let op = match size {
            _ if size == n => KalmanFilter::dense(n),
            1 => KalmanFilter::diagonal(n),
            _ => KalmanFilter::blocks(n, size).unwrap(),
        };
        let f = numbers(steps * n * size, radius / (size as f64 / 3.0).sqrt());
        Self { op, n, size, lambda, f, u: numbers(steps * n, 1.0), y: numbers(steps * n, 1.0) }
    }

    fn steps(&self) -> usize {
        self.u.len() / self.n
    }

    fn elements(&self) -> Vec<R> {
        let (n, entries) = (self.n, self.op.entries());
        let mut elements = vec![R::from_f64(f64::NAN); self.steps() * self.op.width()];
        for (t, element) in elements.chunks_mut(self.op.width()).enumerate() {
            let (u, y) = (&self.u[t * n..][..n], &self.y[t * n..][..n]);
            match t {
                0 => self.op.pack_first(u, y, self.lambda, element),
                _ => self.op.pack(&self.f[t * entries..][..entries], u, y, self.lambda, element),
            }
        }
        elements
    }

    /// The minimiser, by the filter's scan and the smoother's.
    fn smoothed(&self, cpu: &Cpu) -> Vec<R> {
        let (n, entries) = (self.n, self.op.entries());
        let mut filtered = self.elements();
        cpu.scan(&self.op, &mut filtered).unwrap();
        let mut maps = vec![R::default(); self.steps() * (entries + n)];
        for (t, map) in maps.chunks_mut(entries + n).enumerate() {
            let next = (t + 1 < self.steps())
                .then(|| (&self.f[(t + 1) * entries..][..entries], &self.u[(t + 1) * n..][..n]));
            self.op.smoothing(&filtered[t * self.op.width()..][..self.op.width()], next, map);
        }
        match self.size {
            size if size == n => cpu.scan_reverse(&Opposite(AffineDense::new(n)), &mut maps),
            1 => cpu.scan_reverse(&Opposite(AffineDiagonal::new(n)), &mut maps),
            size => cpu.scan_reverse(&Opposite(AffineBlocks::new(n, size).unwrap()), &mut maps),
        }
        .unwrap();
        maps.chunks(entries + n).flat_map(|map| map[entries..].to_vec()).collect()
    }

    /// The minimiser by the normal equations and elimination in double precision, all of time at once; of the
    /// steps `..steps` only, its last state is the filtered one.
    fn dense(&self, steps: usize) -> Vec<f64> {
        let n = self.n;
        let size = steps * n;
        let f = |t: usize, i: usize, j: usize| {
            if t == 0 || i / self.size != j / self.size {
                return 0.0;
            }
            self.f[(t * n + i) * self.size + j % self.size].to_f64()
        };
        let mut matrix = vec![vec![0.0; size + 1]; size];
        for t in 0..steps {
            for i in 0..n {
                // The row x_t,i − Σ F x_{t−1} = u of the residual, squared.
                let mut row = vec![(t * n + i, 1.0)];
                if t > 0 {
                    row.extend((0..n).map(|j| ((t - 1) * n + j, -f(t, i, j))));
                }
                for &(a, x) in &row {
                    for &(b, y) in &row {
                        matrix[a][b] += x * y;
                    }
                    matrix[a][size] += x * self.u[t * n + i].to_f64();
                }
                matrix[t * n + i][t * n + i] += self.lambda;
                matrix[t * n + i][size] += self.lambda * self.y[t * n + i].to_f64();
            }
        }
        eliminate(matrix)
    }
}

/// Gauss–Jordan with pivots on `[matrix, right]`.
fn eliminate(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for j in 0..n {
        let pivot = (j..n).max_by(|&a, &b| rows[a][j].abs().total_cmp(&rows[b][j].abs())).unwrap();
        rows.swap(j, pivot);
        let above = rows[j].clone();
        for (i, row) in rows.iter_mut().enumerate() {
            if i != j {
                let factor = row[j] / above[j];
                row.iter_mut().zip(&above).for_each(|(x, a)| *x -= factor * a);
            }
        }
    }
    rows.iter().enumerate().map(|(i, row)| row[n] / row[i]).collect()
}

fn combine<R: Real>(op: &KalmanFilter, earlier: &[R], later: &[R]) -> Vec<R> {
    let nan = R::from_f64(f64::NAN);
    let mut out = vec![nan; op.width()];
    op.combine(earlier, later, &mut out, &mut vec![nan; ScanOp::<R>::workspace(op)]);
    out
}

fn assert_close<R: Real>(what: &str, got: &[R], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    let size = expected.iter().fold(1.0, |size: f64, x| size.max(x.abs()));
    for (i, (x, y)) in got.iter().zip(expected).enumerate() {
        let error = (x.to_f64() - y).abs() / size;
        assert!(error <= tolerance, "{what}, entry {i}: {x} instead of {y}");
    }
}

fn check<R: Real>(model: &Model<R>, tolerance: f64) {
    let (op, n, steps) = (&model.op, model.n, model.steps());
    let wide = |x: &[R]| x.iter().map(|x| x.to_f64()).collect::<Vec<_>>();
    let elements = model.elements();
    let element = |t: usize| &elements[t * op.width()..][..op.width()];
    if steps >= 3 {
        let left = combine(op, &combine(op, element(0), element(1)), element(2));
        let right = combine(op, element(0), &combine(op, element(1), element(2)));
        assert_close("associativity", &left, &wide(&right), tolerance);
        let left = combine(op, &combine(op, element(1), element(2)), element(steps - 1));
        let right = combine(op, element(1), &combine(op, element(2), element(steps - 1)));
        assert_close("associativity after the first", &left, &wide(&right), tolerance);
    }
    let mut identity = vec![R::from_f64(f64::NAN); op.width()];
    op.identity(&mut identity);
    let last = element(steps - 1);
    assert_close("identity before", &combine(op, &identity, last), &wide(last), tolerance);
    assert_close("identity after", &combine(op, last, &identity), &wide(last), tolerance);

    let cpu = Cpu::new();
    let mut filtered = elements.clone();
    cpu.scan(op, &mut filtered).unwrap();
    for t in 0..steps {
        let mean = op.mean(&filtered[t * op.width()..][..op.width()]);
        assert_close("filtered mean", mean, &model.dense(t + 1)[t * n..], tolerance);
    }
    assert_close("smoothed mean", &model.smoothed(&cpu), &model.dense(steps), tolerance);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    #[test]
    fn scans_equal_elimination(
        n in 1usize..5, steps in 1usize..9, radius in 0.0..2.0, log_lambda in -6.0f64..4.0, seed: u64,
    ) {
        let lambda = log_lambda.exp();
        for size in (1..=n).filter(|size| n % size == 0) {
            check(&Model::<f64>::random(n, size, steps, radius, lambda, seed), 1e-10);
        }
        check(&Model::<f32>::random(n, n, steps, radius, lambda, seed), 1e-3);
    }
}

#[test]
fn without_damping_it_is_the_affine_recurrence() {
    let model = Model::<f64>::random(3, 3, 50, 1.0, 0.0, 1);
    let mut x = vec![0.0; 3];
    let expected: Vec<f64> = (0..50)
        .flat_map(|t| {
            let next: Vec<f64> = (0..3)
                .map(|i| {
                    let f = &model.f[(t * 3 + i) * 3..][..3];
                    let sum: f64 = f.iter().zip(&x).map(|(f, x)| f * x).sum();
                    model.u[t * 3 + i] + if t > 0 { sum } else { 0.0 }
                })
                .collect();
            x.copy_from_slice(&next);
            next
        })
        .collect();
    assert_close("λ = 0", &model.smoothed(&Cpu::new()), &expected, 1e-12);
}

/// Large states go to faer, long sequences through chunks: bits do not depend on the threads.
#[test]
fn large_and_long() {
    check(&Model::<f64>::random(18, 18, 4, 1.0, 0.5, 1), 1e-10);
    let model = Model::<f64>::random(2, 2, 3000, 1.1, 0.3, 2);
    let smoothed = model.smoothed(&Cpu::with_threads(1).unwrap());
    let bits = |x: &[f64]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&smoothed), bits(&model.smoothed(&Cpu::with_threads(3).unwrap())));
    // The gradient of the objective vanishes.
    let (n, y, lambda) = (2, &model.y, model.lambda);
    let at = |t: usize, i: usize| smoothed[t * n + i];
    let residual = |t: usize, i: usize| {
        let before = |j| if t > 0 { model.f[(t * n + i) * n + j] * at(t - 1, j) } else { 0.0 };
        at(t, i) - before(0) - before(1) - model.u[t * n + i]
    };
    for t in 0..3000 {
        for i in 0..n {
            let later = |k: usize| {
                if t < 2999 { model.f[((t + 1) * n + k) * n + i] * residual(t + 1, k) } else { 0.0 }
            };
            let gradient =
                residual(t, i) - later(0) - later(1) + lambda * (at(t, i) - y[t * n + i]);
            assert!(gradient.abs() < 1e-12, "step {t}: {gradient:e}");
        }
    }
}

/// The filtered mean is not the minimiser: a solver that returned it would be off by as much as this.
#[test]
fn the_smoother_is_needed() {
    let model = Model::<f64>::random(2, 2, 8, 1.5, 0.1, 3);
    let mut filtered = model.elements();
    Cpu::new().scan(&model.op, &mut filtered).unwrap();
    let width = model.op.width();
    let expected = model.dense(8);
    let apart = filtered
        .chunks(width)
        .zip(expected.chunks(2))
        .fold(0.0f64, |worst, (e, x)| worst.max((model.op.mean(e)[0] - x[0]).abs()));
    assert!(apart > 0.1, "{apart}");
}
