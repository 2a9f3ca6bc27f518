//! Scans against the plain serial fold.

#![cfg(feature = "cpu")]

use deer_solver::scalar::Real;
use deer_solver::scan::{
    Affine, AffineBlocks, AffineDense, AffineDiagonal, AffineScalar, Opposite, RangeSafe, ScanOp,
};
use deer_solver::{Cpu, Error};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn combine<R: Real>(op: &impl ScanOp<R>, earlier: &[R], later: &[R]) -> Vec<R> {
    let mut out = vec![R::from_f64(f64::NAN); op.width()];
    let mut work = vec![R::from_f64(f64::NAN); op.workspace()];
    op.combine(earlier, later, &mut out, &mut work);
    out
}

/// The plain loop, forwards or backwards.
fn serial<R: Real>(op: &impl ScanOp<R>, elements: &[R], reverse: bool) -> Vec<R> {
    let width = op.width();
    let mut scanned: Vec<Vec<R>> = Vec::new();
    let mut step = |element: &[R]| {
        let next = match scanned.last() {
            None => element.to_vec(),
            Some(carry) if reverse => combine(op, element, carry),
            Some(carry) => combine(op, carry, element),
        };
        scanned.push(next);
    };
    if width == 0 {
        return Vec::new();
    }
    if reverse {
        elements.chunks_exact(width).rev().for_each(&mut step);
        scanned.reverse();
    } else {
        elements.chunks_exact(width).for_each(&mut step);
    }
    scanned.concat()
}

fn on<R: Real>(cpu: &Cpu, op: &impl ScanOp<R>, elements: &[R], reverse: bool) -> Vec<R> {
    let mut scanned = elements.to_vec();
    if reverse {
        cpu.scan_reverse(op, &mut scanned).unwrap();
    } else {
        cpu.scan(op, &mut scanned).unwrap();
    }
    scanned
}

fn pools() -> [Cpu; 3] {
    [1, 2, 5].map(|threads| Cpu::with_threads(threads).unwrap())
}

/// Affine elements whose `A` has norm about `radius`, and `b` of order 1.
fn elements<R: Real>(
    op: &impl Affine,
    width: usize,
    steps: usize,
    radius: f64,
    seed: u64,
) -> Vec<R> {
    let n = op.state_dim();
    let entries = width - n;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Entries of one row: 1 (scalar, diagonal), k or n.
    let row = entries.checked_div(n).unwrap_or(1).max(1);
    let size = radius / (row as f64 / 3.0).sqrt();
    let mut uniform = |size: f64| R::from_f64(size * rng.random_range(-1.0..1.0));
    (0..steps * width)
        .map(|i| if i % width < entries { uniform(size) } else { uniform(1.0) })
        .collect()
}

/// Componentwise, relative to the largest number of the element.
fn assert_close<R: Real>(width: usize, got: &[R], expected: &[R], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    if width == 0 {
        return;
    }
    for (t, (got, expected)) in got.chunks(width).zip(expected.chunks(width)).enumerate() {
        let size = expected.iter().fold(1e-3, |m: f64, x| m.max(x.to_f64().abs()));
        for (i, (x, y)) in got.iter().zip(expected).enumerate() {
            let error = (x.to_f64() - y.to_f64()).abs() / size;
            assert!(error <= tolerance, "element {t}, entry {i}: {x} instead of {y}");
        }
    }
}

fn assert_same_bits<R: Real>(got: &[R], expected: &[R]) {
    assert_eq!(got.len(), expected.len());
    for (i, (x, y)) in got.iter().zip(expected).enumerate() {
        let same = x.to_f64().to_bits() == y.to_f64().to_bits();
        assert!(same, "entry {i}: {x:?} instead of {y:?}");
    }
}

/// What every operator satisfies, on one sequence.
fn check<R: Real>(op: &(impl ScanOp<R> + Affine), steps: usize, seed: u64) {
    let width = op.width();
    let data: Vec<R> = elements(op, width, steps, 0.9, seed);
    let tolerance = R::EPSILON.to_f64() * 200.0 * (1 + op.state_dim()) as f64;
    for reverse in [false, true] {
        let expected = serial(op, &data, reverse);
        let scanned = on(&Cpu::new(), op, &data, reverse);
        assert_close(width, &scanned, &expected, tolerance);
        for cpu in pools() {
            assert_same_bits(&on(&cpu, op, &data, reverse), &scanned);
        }
    }
    // Backwards with exchanged arguments is forwards on the reversed sequence.
    if width > 0 {
        let turned: Vec<R> = data.chunks_exact(width).rev().flatten().copied().collect();
        let forwards = serial(op, &turned, false);
        let expected: Vec<R> = forwards.chunks_exact(width).rev().flatten().copied().collect();
        let got = on(&Cpu::new(), &Opposite(op), &data, true);
        assert_close(width, &got, &expected, tolerance);
    }
}

fn check_algebra<R: Real>(op: &(impl ScanOp<R> + Affine), seed: u64) {
    let width = op.width();
    let data: Vec<R> = elements(op, width, 3, 2.0, seed);
    let [x, y, z] = [0, 1, 2].map(|t| &data[t * width..][..width]);
    let tolerance = R::EPSILON.to_f64() * 40.0 * (1 + op.state_dim()) as f64;
    let left = combine(op, &combine(op, x, y), z);
    let right = combine(op, x, &combine(op, y, z));
    assert_close(width, &left, &right, tolerance);

    let mut identity = vec![R::from_f64(f64::NAN); width];
    op.identity(&mut identity);
    assert_same_bits(&combine(op, &identity, x), x);
    assert_same_bits(&combine(op, x, &identity), x);

    // The composition of the maps, applied.
    let n = op.state_dim();
    let state: Vec<R> = elements(&AffineScalar::new(n), n, 1, 1.0, seed + 1);
    let (mut first, mut second, mut both) =
        (vec![R::default(); n], vec![R::default(); n], vec![R::default(); n]);
    op.apply(x, &state, &mut first);
    op.apply(y, &first, &mut second);
    op.apply(&combine(op, x, y), &state, &mut both);
    assert_close(n, &both, &second, tolerance);
}

/// Calls `$check(&operator, …)` for every operator over states of `n` components.
macro_rules! every_operator {
    ($real:ty, $n:expr, $check:ident($($argument:expr),*)) => {{
        let n = $n;
        $check::<$real>(&AffineDense::new(n), $($argument),*);
        $check::<$real>(&AffineDiagonal::new(n), $($argument),*);
        $check::<$real>(&AffineScalar::new(n), $($argument),*);
        for k in [1, 2, 4, 8].into_iter().filter(|k| n % k == 0) {
            $check::<$real>(&AffineBlocks::new(n, k).unwrap(), $($argument),*);
        }
    }};
}

const DIMS: [usize; 9] = [0, 1, 2, 3, 5, 8, 16, 17, 32];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn scans_equal_the_serial_fold(
        n in prop::sample::select(&DIMS[..]),
        steps in prop::sample::select(&[0, 1, 2, 3, 31, 127, 128, 129, 131, 257, 521][..]),
        seed in any::<u64>(),
    ) {
        every_operator!(f64, n, check(steps, seed));
        every_operator!(f32, n, check(steps, seed));
    }

    #[test]
    fn operators_are_associative_with_identity(
        n in prop::sample::select(&DIMS[..]),
        seed in 0..u64::MAX - 1,
    ) {
        every_operator!(f64, n, check_algebra(seed));
        every_operator!(f32, n, check_algebra(seed));
    }
}

/// Around the borders between one chunk and many, and of the last chunk.
#[test]
fn scans_equal_the_serial_fold_around_chunks() {
    for steps in [3999, 4000, 4001, 4999, 5000, 5001, 10_000, 65_537] {
        check::<f32>(&AffineDiagonal::new(1), steps, 1);
        check::<f64>(&AffineDiagonal::new(1), steps, 2);
        check::<f64>(&AffineScalar::new(1), steps, 3);
        check::<f32>(&AffineDiagonal::new(3), steps, 4);
        check::<f32>(&AffineDiagonal::new(4), steps, 5);
        check::<f32>(&AffineScalar::new(5), steps, 6);
        check::<f64>(&AffineDense::new(2), steps, 7);
        check::<f64>(&AffineBlocks::new(4, 2).unwrap(), steps, 8);
    }
    for steps in [10_000, 10_007] {
        check::<f32>(&AffineDiagonal::new(17), steps, 9);
        check::<f64>(&AffineDiagonal::new(32), steps, 10);
        check::<f32>(&AffineDense::new(3), steps, 11);
        check::<f32>(&AffineDense::new(8), steps, 12);
    }
    check::<f64>(&AffineDense::new(17), 10_000, 13);
}

/// One chunk and several, short sequences and one alone.
#[test]
fn a_batch_is_its_sequences_one_by_one() {
    fn check<R: Real>(op: &(impl ScanOp<R> + Affine), batch: usize, steps: usize, seed: u64) {
        let span = steps * op.width();
        let data: Vec<R> = elements(op, op.width(), batch * steps, 0.9, seed);
        for reverse in [false, true] {
            let alone = |sequence| on(&Cpu::new(), op, sequence, reverse);
            let expected: Vec<R> = data.chunks_exact(span).flat_map(alone).collect();
            for cpu in pools() {
                let mut scanned = data.clone();
                match reverse {
                    false => cpu.scan_batch(op, &mut scanned, batch),
                    true => cpu.scan_batch_reverse(op, &mut scanned, batch),
                }
                .unwrap();
                assert_same_bits(&scanned, &expected);
            }
        }
    }
    for (batch, steps) in [(1, 5003), (2, 4001), (7, 4000), (33, 5), (3, 1)] {
        check::<f64>(&AffineDiagonal::new(3), batch, steps, 1);
        check::<f32>(&AffineScalar::new(1), batch, steps, 2);
        check::<f32>(&AffineDense::new(3), batch, steps, 3);
        check::<f64>(&AffineBlocks::new(6, 2).unwrap(), batch, steps, 4);
    }
}

#[test]
fn cumulative_sums() {
    // Integers: exact in any order.
    let steps = 100_003;
    let mut elements: Vec<f64> = (0..steps).flat_map(|t| [1.0, t as f64, 1.0]).collect();
    Cpu::new().scan(&AffineScalar::new(2), &mut elements).unwrap();
    for (t, element) in elements.chunks(3).enumerate() {
        assert_eq!(element, [1.0, (t * (t + 1) / 2) as f64, (t + 1) as f64]);
    }
}

/// Order matters and rounding does not: strings of digits, kept as value and length mod a prime.
struct Concatenate;
const PRIME: u64 = 1_000_003;
impl ScanOp<f64> for Concatenate {
    fn width(&self) -> usize {
        2
    }
    fn identity(&self, out: &mut [f64]) {
        out.copy_from_slice(&[0.0, 1.0]);
    }
    fn workspace(&self) -> usize {
        3
    }
    fn combine(&self, earlier: &[f64], later: &[f64], out: &mut [f64], work: &mut [f64]) {
        assert_eq!(work.len(), 3);
        work[0] = earlier[0] * later[1] + later[0];
        out[0] = work[0] % PRIME as f64;
        out[1] = earlier[1] * later[1] % PRIME as f64;
    }
}

#[test]
fn an_operator_of_ones_own_is_scanned_in_order() {
    for steps in [0, 1, 7, 4000, 4001, 123_457] {
        let digits: Vec<f64> = (0..steps).flat_map(|t| [(t % 97 * t % 10) as f64, 10.0]).collect();
        for cpu in pools() {
            for reverse in [false, true] {
                let expected = serial(&Concatenate, &digits, reverse);
                assert_eq!(on(&cpu, &Concatenate, &digits, reverse), expected);
            }
        }
    }
}

/// A non-finite entry spoils the same numbers as in the loop.
#[test]
fn nan_and_infinity_propagate_as_in_the_loop() {
    fn check<R: Real>(op: &(impl ScanOp<R> + Affine), steps: usize, seed: u64) {
        let width = op.width();
        for value in [f64::NAN, f64::INFINITY] {
            for (t, entry) in
                [(0, 0), (steps / 3, width - 1), (steps / 2, 0), (steps - 1, width / 2)]
            {
                let mut data: Vec<R> = elements(op, width, steps, 0.9, seed);
                data[t * width + entry] = R::from_f64(value);
                for reverse in [false, true] {
                    let expected = serial(op, &data, reverse);
                    assert!(expected.iter().any(|x| !x.is_finite()));
                    for (i, (x, y)) in
                        on(&Cpu::new(), op, &data, reverse).iter().zip(&expected).enumerate()
                    {
                        assert_eq!(x.is_finite(), y.is_finite(), "entry {i}: {x} instead of {y}");
                    }
                }
            }
        }
    }
    for (n, steps) in [(1, 5000), (3, 5000), (8, 700), (17, 200)] {
        every_operator!(f64, n, check(steps, 5));
        every_operator!(f32, n, check(steps, 6));
    }
}

#[test]
fn a_length_that_is_no_multiple_of_the_width_is_an_error() {
    let cpu = Cpu::new();
    let result = cpu.scan(&AffineDense::new(2), &mut [0.0f64; 13]);
    assert!(matches!(result, Err(Error::Shape { argument: "elements", .. })));
    let result = cpu.scan_reverse(&AffineDense::new(0), &mut [0.0f32; 1]);
    assert!(matches!(result, Err(Error::Shape { argument: "elements", .. })));
    cpu.scan(&AffineDense::new(0), &mut [0.0f64; 0]).unwrap();
    let sums = AffineScalar::new(1);
    for batch in [0, 2, 4, usize::MAX] {
        let error = cpu.scan_batch(&sums, &mut [1.0f64; 6], batch).unwrap_err();
        let told = error.to_string();
        assert!(told.contains(&format!("[{batch} · T · 2]")) && told.contains("[6]"), "{told}");
    }
    cpu.scan_batch(&sums, &mut [0.0f64; 0], 0).unwrap();
    assert!(matches!(AffineBlocks::new(6, 4), Err(Error::Setting { setting: "k", .. })));
    assert!(AffineBlocks::new(6, 0).is_err());
    assert!(matches!(Cpu::with_threads(0), Err(Error::Setting { setting: "threads", .. })));
}

fn packed<R: Real, Op: Affine>(op: &RangeSafe<Op>, plain: &[R], plain_width: usize) -> Vec<R> {
    let mut elements = vec![R::default(); plain.len() / plain_width * op.width()];
    for (plain, element) in plain.chunks(plain_width).zip(elements.chunks_mut(op.width())) {
        op.pack(plain, element);
    }
    elements
}

fn unpacked<R: Real, Op: Affine>(op: &RangeSafe<Op>, elements: &[R], plain_width: usize) -> Vec<R> {
    let mut plain = vec![R::default(); elements.len() / op.width() * plain_width];
    for (plain, element) in plain.chunks_mut(plain_width).zip(elements.chunks(op.width())) {
        op.unpack(element, plain);
    }
    plain
}

/// In range, the same numbers as without exponents; packing is exact; identity is neutral.
fn check_range_safe<R: Real>(op: &(impl ScanOp<R> + Affine + Copy), steps: usize, seed: u64) {
    let safe = RangeSafe::new(*op);
    let width = op.width();
    if width == 0 {
        return;
    }
    let plain: Vec<R> = elements(op, width, steps, 0.9, seed);
    let data = packed(&safe, &plain, width);
    assert_same_bits(&unpacked(&safe, &data, width), &plain);

    let tolerance = R::EPSILON.to_f64() * 200.0 * (1 + op.state_dim()) as f64;
    for reverse in [false, true] {
        let expected = serial(op, &plain, reverse);
        let scanned = on(&Cpu::new(), &safe, &data, reverse);
        assert_close(width, &unpacked(&safe, &scanned, width), &expected, tolerance);
        for cpu in pools() {
            assert_same_bits(&on(&cpu, &safe, &data, reverse), &scanned);
        }
    }

    let mut identity = vec![R::from_f64(f64::NAN); safe.width()];
    safe.identity(&mut identity);
    let x = &data[..safe.width()];
    assert_same_bits(&combine(&safe, &identity, x), x);
    assert_same_bits(&combine(&safe, x, &identity), x);

    let n = op.state_dim();
    let state: Vec<R> = elements(&AffineScalar::new(n), n, 1, 1.0, seed + 1);
    let (mut with, mut without) = (vec![R::default(); n], vec![R::default(); n]);
    safe.apply(x, &state, &mut with);
    op.apply(&plain[..width], &state, &mut without);
    assert_close(n, &with, &without, tolerance);
}

#[test]
fn range_safe_equals_plain_within_the_range() {
    for n in DIMS {
        every_operator!(f64, n, check_range_safe(150, n as u64));
        every_operator!(f32, n, check_range_safe(150, n as u64));
    }
    check_range_safe::<f32>(&AffineDiagonal::new(1), 5000, 77);
}

/// `A_t = 3 Q_t` with rotations `Q_t`: `|A x|` is exactly `3^T |x|`.
fn check_rotations<R: Real>(factor: f64, steps: usize) {
    let op = RangeSafe::new(AffineDense::new(2));
    let plain: Vec<R> = (0..steps)
        .flat_map(|t| {
            let (sin, cos) = (0.1 * t as f64).sin_cos();
            [factor * cos, -factor * sin, factor * sin, factor * cos, 0.0, 0.0]
        })
        .map(R::from_f64)
        .collect();
    let scanned = on(&Cpu::new(), &op, &packed(&op, &plain, 6), false);
    let last = &scanned[scanned.len() - op.width()..];
    // The same matrices divided by the factor, multiplied one by one.
    let mut turn = [1.0, 0.0, 0.0, 1.0];
    for element in plain.chunks(6) {
        let q = |i: usize| element[i].to_f64() / factor;
        turn =
            [0, 1, 2, 3].map(|i| q(i / 2 * 2) * turn[i % 2] + q(i / 2 * 2 + 1) * turn[2 + i % 2]);
    }
    // log₂ of a row's length; its largest entry is at least 1/√2 of that.
    let log = steps as f64 * factor.log2();
    let tolerance = R::EPSILON.to_f64() * steps as f64 * 4.0;
    for row in 0..2 {
        let e = last[6 + row].to_f64();
        assert!(e - log < 0.1 && e - log > -1.6, "exponent {e}, length 2^{log}");
        for column in 0..2 {
            let entry = last[2 * row + column].to_f64() * (e - log).exp2();
            let error = (entry - turn[2 * row + column]).abs();
            assert!(error <= tolerance, "{row}, {column}: {entry} instead of {turn:?}");
        }
    }
    // b = 0 is exactly 0.
    assert_eq!([last[4], last[5]].map(R::to_f64), [0.0; 2]);
}

#[test]
fn range_safe_products_beyond_the_range() {
    check_rotations::<f64>(3.0, 10_000);
    check_rotations::<f64>(1.0 / 3.0, 10_000);
    check_rotations::<f32>(3.0, 10_000);
    check_rotations::<f32>(1.0 / 3.0, 10_000);
}

/// Growing by 2 for half of the time and shrinking after that: the plain scan overflows half
/// way and stays so, the product is exactly 1.
#[test]
fn range_safe_products_that_come_back_into_the_range() {
    fn check<R: Real>(op: &(impl ScanOp<R> + Affine + Copy), steps: usize) {
        let width = op.width();
        let n = op.state_dim();
        let mut identity = vec![R::default(); width];
        op.identity(&mut identity);
        let plain: Vec<R> = (0..2 * steps)
            .flat_map(|t| {
                let factor = R::from_f64(if t < steps { 2.0 } else { 0.5 });
                identity.iter().map(move |x| *x * factor)
            })
            .collect();
        let safe = RangeSafe::new(*op);
        assert!(serial(op, &plain, false).iter().any(|x| !x.is_finite()));
        let scanned = on(&Cpu::new(), &safe, &packed(&safe, &plain, width), false);
        let last = &scanned[scanned.len() - safe.width()..];
        let mut x = vec![R::default(); n];
        safe.apply(last, &vec![R::from_f64(0.75); n], &mut x);
        assert_eq!(x, vec![R::from_f64(0.75); n]);
        assert_eq!(unpacked(&safe, last, width), identity);
    }
    for n in [1, 3, 8, 17] {
        every_operator!(f64, n, check(1500));
        every_operator!(f32, n, check(300));
    }
}

/// An unstable recurrence held at its fixed point: `A` and `b` overflow, the state does not.
/// Components of different growth do not disturb one another.
#[test]
fn range_safe_components_keep_their_own_exponents() {
    let op = RangeSafe::new(AffineDiagonal::new(3));
    // Fixed points 1, 2, 1; factors 2, 1/2, 1.
    let plain = [2.0f32, 0.5, 1.0, -1.0, 1.0, 0.0];
    let data = packed(&op, &plain.repeat(9000), 6);
    let scanned = on(&Cpu::new(), &op, &data, false);
    let mut x = [0.0; 3];
    for (t, element) in scanned.chunks(op.width()).enumerate() {
        let mut plain = [0.0; 6];
        op.unpack(element, &mut plain);
        assert_eq!(
            plain[4],
            2.0 - (0.5f64.powi(t as i32) * 1.0) as f32,
            "b of the second component"
        );
        op.apply(element, &[0.0, 0.0, 1.0], &mut x);
        assert_eq!(x[2], 1.0);
        // From 1 the first component stays at 1 while 2^t fits into a mantissa.
        if t < 20 {
            op.apply(element, &[1.0, 2.0, 1.0], &mut x);
            assert_eq!(x, [1.0, 2.0, 1.0]);
        }
    }
    // The smallest number that f32 has, grown back by a factor that f32 has not.
    let grow = RangeSafe::new(AffineScalar::new(1));
    let mut element = vec![0.0f32; grow.width()];
    grow.pack(&[2.0, 0.0], &mut element);
    let scanned = on(&Cpu::new(), &grow, &element.repeat(149), false);
    let mut one = [0.0];
    grow.apply(&scanned[148 * grow.width()..], &[f32::from_bits(1)], &mut one);
    assert_eq!(one, [1.0]);
}
