//! Affine maps whose products leave the range of the number type.

use super::ScanOp;
use super::affine::{Affine, Form};
use super::exponent::{LIMIT, exponent, loaded, normalise, scale, stored, sum_of_products};
use super::product::product;
use crate::scalar::Real;

/// An affine operator on elements that carry powers of two, so that long products neither
/// overflow nor vanish.
///
/// With factors larger than 1 the scanned `A` and `b` overflow, even where every state of the
/// trajectory is moderate. Here row `i` of `A` is `2^{e_i} Â_i`, and `b_i = 2^{f_i} b̂_i`, with
/// the largest entry of `Â_i` and `|b̂_i|` in [1, 2). A row of zeros has exponent −2²⁴.
///
/// Element: `[Â, b̂, e, f]`, `Â` and `b̂` in the operator's own layout, `e` and `f` integers
/// stored as numbers; `f` is `[n]`, `e` is `[n]`, for [`AffineScalar`](super::AffineScalar) `[1]`.
/// Exponents saturate at ±2²⁴.
///
/// Scaling is exact, so a result is the plain one to rounding where that stays in range. An
/// entry smaller than the largest of its row by more than the type's range (2¹²⁶ for `f32`,
/// 2¹⁰²² for `f64`) counts as 0. A combine costs the plain one and a scaling of every entry.
///
/// # Example
/// ```
/// use deer_solver::{Cpu, scan::{AffineScalar, RangeSafe}};
///
/// // x_t = 3 x_{t−1} − 2 stays at 1; its products 3^t overflow.
/// let op = RangeSafe::new(AffineScalar::new(1));
/// let mut element = vec![0.0f64; op.width()];
/// op.pack(&[3.0, -2.0], &mut element);
/// let mut elements = element.repeat(30_000);
/// Cpu::new().scan(&op, &mut elements)?;
///
/// let last = &elements[elements.len() - op.width()..];
/// assert_eq!(last[2], 47_548.0); // 3³⁰⁰⁰⁰ = 1.8… · 2⁴⁷⁵⁴⁸
/// let mut plain = [0.0; 2];
/// op.unpack(last, &mut plain);
/// assert_eq!(plain, [f64::INFINITY, f64::NEG_INFINITY]);
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RangeSafe<Op> {
    op: Op,
}

/// The parts of an element.
struct Parts<S> {
    a: S,
    b: S,
    e: S,
    f: S,
}

fn parts<R>(form: Form, element: &[R]) -> Parts<&[R]> {
    let (a, rest) = element.split_at(form.entries());
    let (b, rest) = rest.split_at(form.n);
    let (e, f) = rest.split_at(form.rows());
    Parts { a, b, e, f }
}

fn parts_mut<R>(form: Form, element: &mut [R]) -> Parts<&mut [R]> {
    let (a, rest) = element.split_at_mut(form.entries());
    let (b, rest) = rest.split_at_mut(form.n);
    let (e, f) = rest.split_at_mut(form.rows());
    Parts { a, b, e, f }
}

impl<Op: Affine> RangeSafe<Op> {
    /// Elements of `op` with exponents.
    pub fn new(op: Op) -> Self {
        Self { op }
    }

    /// The operator without exponents.
    pub fn inner(&self) -> &Op {
        &self.op
    }

    /// Numbers in one element: `op`'s, and an exponent for each row of `A` and of `b`.
    pub fn width(&self) -> usize {
        let form = self.op.form();
        form.entries() + form.rows() + 2 * form.n
    }

    /// The element `[Â, b̂, e, f]` of a plain one `[A, b]`, exactly.
    pub fn pack<R: Real>(&self, plain: &[R], element: &mut [R]) {
        let form = self.op.form();
        element[..plain.len()].copy_from_slice(plain);
        let Parts { a, b, e, f } = parts_mut(form, element);
        e.fill(R::default());
        f.fill(R::default());
        normalise_rows(form, a, e);
        normalise_components(b, f);
    }

    /// The plain element `[A, b]`; what is out of range becomes infinite or 0.
    pub fn unpack<R: Real>(&self, element: &[R], plain: &mut [R]) {
        let form = self.op.form();
        let Parts { a, b, e, f } = parts(form, element);
        let (plain_a, plain_b) = plain.split_at_mut(form.entries());
        let rows = plain_a.chunks_exact_mut(form.size.max(1)).zip(a.chunks_exact(form.size.max(1)));
        for ((plain, a), e) in rows.zip(e) {
            for (plain, a) in plain.iter_mut().zip(a) {
                *plain = scale(*a, loaded(*e));
            }
        }
        for ((plain, b), f) in plain_b.iter_mut().zip(b).zip(f) {
            *plain = scale(*b, loaded(*f));
        }
    }

    /// `out = A x + b`, finite where the result is representable, whether or not `A` and `b`
    /// are: `x` and `out` are `[n]`.
    pub fn apply<R: Real>(&self, element: &[R], x: &[R], out: &mut [R]) {
        let form = self.op.form();
        let Parts { a, b, e, f } = parts(form, element);
        for (i, out) in out.iter_mut().enumerate() {
            let (row, first) = form.row(i);
            let e = loaded(e[row]);
            let a = &a[row * form.size..][..form.size];
            let products = a.iter().zip(&x[first..]).map(|(a, x)| (*a, *x, e));
            let offset = (b[i], R::one(), loaded(f[i]));
            let (sum, top) = sum_of_products(products.chain([offset]));
            *out = scale(sum, top);
        }
    }
}

/// Scales every stored row of `A`, and adds what was taken out to its exponent in `e`.
fn normalise_rows<R: Real>(form: Form, a: &mut [R], e: &mut [R]) {
    for (row, e) in a.chunks_exact_mut(form.size.max(1)).zip(e) {
        add_exponent(e, normalise(row));
    }
}

fn normalise_components<R: Real>(b: &mut [R], f: &mut [R]) {
    for (b, f) in b.iter_mut().zip(f) {
        add_exponent(f, normalise(std::slice::from_mut(b)));
    }
}

fn add_exponent<R: Real>(e: &mut R, taken: i64) {
    *e = stored(if taken == -LIMIT { -LIMIT } else { loaded(*e) + taken });
}

impl<R: Real, Op: Affine + ScanOp<R>> ScanOp<R> for RangeSafe<Op> {
    fn width(&self) -> usize {
        RangeSafe::width(self)
    }

    fn identity(&self, out: &mut [R]) {
        let form = self.op.form();
        let Parts { e, f, .. } = parts_mut(form, out);
        e.fill(R::default());
        f.fill(stored(-LIMIT));
        self.op.identity(&mut out[..form.entries() + form.n]);
    }

    /// The left factor, scaled.
    fn workspace(&self) -> usize {
        self.op.form().entries()
    }

    fn combine(&self, earlier: &[R], later: &[R], out: &mut [R], work: &mut [R]) {
        let form = self.op.form();
        let size = form.size;
        let (early, late) = (parts(form, earlier), parts(form, later));
        let Parts { a, b, e, f } = parts_mut(form, out);

        // Row i of A_j A_i is 2^{e_j + m} Σ_k (Â_j,ik 2^{e_i,k − m}) Â_i,k with m such that
        // the factors in parentheses stay below 2.
        let scaled = &mut work[..form.entries()];
        for row in 0..form.rows() {
            let first = if form.shared { 0 } else { row - row % size };
            let factors = &late.a[row * size..][..size];
            let exponents = &early.e[first..][..size];
            let top = factors
                .iter()
                .zip(exponents)
                .filter(|(factor, _)| **factor != R::default())
                .map(|(factor, e)| exponent(*factor) + loaded(*e))
                .max()
                .unwrap_or(0);
            for k in 0..size {
                scaled[row * size + k] = scale(factors[k], loaded(exponents[k]) - top);
            }
            e[row] = stored(loaded(late.e[row]) + top);
        }
        let blocks = scaled.chunks_exact((size * size).max(1));
        for (block, scaled) in blocks.enumerate() {
            let entries = block * size * size..(block + 1) * size * size;
            product(size, scaled, &early.a[entries.clone()], &mut a[entries]);
        }
        normalise_rows(form, a, e);

        for i in 0..form.n {
            let (row, first) = form.row(i);
            let e = loaded(late.e[row]);
            let factors = &late.a[row * size..][..size];
            let products = (factors.iter().zip(&early.b[first..]).zip(&early.f[first..]))
                .map(|((a, b), f)| (*a, *b, e + loaded(*f)));
            let offset = (late.b[i], R::one(), loaded(late.f[i]));
            let (sum, top) = sum_of_products(products.chain([offset]));
            (b[i], f[i]) = (sum, stored(top));
        }
        normalise_components(b, f);
    }
}
