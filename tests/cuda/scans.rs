//! Scans on the device against those on the CPU.

use crate::cuda;
use deer_solver::scan::{
    AffineBlocks, AffineDense, AffineDiagonal, AffineScalar, Opposite, ScanOp,
};
use deer_solver::{Cpu, Cuda, DeviceScan, Error, Real};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `steps` maps of a state of `n` components whose matrices, with `row` entries in a row, have norm about 1, and offsets of order 1.
fn elements<R: Real>(op: &impl ScanOp<R>, n: usize, row: usize, steps: usize, seed: u64) -> Vec<R> {
    let width = op.width();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let size = (3.0 / row as f64).sqrt();
    let mut uniform = |size: f64| R::from_f64(size * rng.random_range(-1.0..1.0));
    (0..steps * width)
        .map(|i| if i % width < width - n { uniform(size) } else { uniform(1.0) })
        .collect()
}

/// Each entry relative to the largest number of its element, at least to what went into it.
fn assert_close<R: Real>(width: usize, got: &[R], expected: &[R], what: &str) {
    let tolerance = R::EPSILON.to_f64() * 400.0 * (1.0 + width as f64).sqrt();
    for (t, (got, expected)) in got.chunks(width).zip(expected.chunks(width)).enumerate() {
        let size = expected.iter().fold(1.0, |m: f64, x| m.max(x.to_f64().abs()));
        for (i, (x, y)) in got.iter().zip(expected).enumerate() {
            let error = (x.to_f64() - y.to_f64()).abs() / size;
            assert!(error <= tolerance, "{what}: element {t}, entry {i}: {x} instead of {y}");
        }
    }
}

/// Both directions, with the arguments as they are and exchanged, twice each.
fn check<R: Real, Op: ScanOp<R> + DeviceScan>(device: &Cuda, op: Op, elements: &[R], what: &str) {
    let width = op.width();
    let opposite = Opposite(&op);
    for (reverse, exchanged) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut expected = elements.to_vec();
        let cpu = Cpu::new();
        match (reverse, exchanged) {
            (false, false) => cpu.scan(&op, &mut expected),
            (true, false) => cpu.scan_reverse(&op, &mut expected),
            (false, true) => cpu.scan(&opposite, &mut expected),
            (true, true) => cpu.scan_reverse(&opposite, &mut expected),
        }
        .unwrap();
        let what = format!(
            "{what}, {} steps, reverse {reverse}, exchanged {exchanged}",
            elements.len() / width
        );
        let mut first: Option<Vec<R>> = None;
        for _ in 0..2 {
            let mut got = elements.to_vec();
            match (reverse, exchanged) {
                (false, false) => device.scan(&op, &mut got),
                (true, false) => device.scan_reverse(&op, &mut got),
                (false, true) => device.scan(&opposite, &mut got),
                (true, true) => device.scan_reverse(&opposite, &mut got),
            }
            .unwrap();
            assert_close(width, &got, &expected, &what);
            let first = first.get_or_insert_with(|| got.clone());
            let same =
                first.iter().zip(&got).all(|(x, y)| x.to_f64().to_bits() == y.to_f64().to_bits());
            assert!(same, "{what}: other bits in a second run");
        }
    }
}

/// `n` components, `k` rows of a block, steps: a few, one more than a tile or a chunk, and several groups or levels of them.
fn sizes<R: Real>() {
    let device = cuda();
    for (seed, (n, steps)) in
        [(1, 1), (1, 5000), (3, 1300), (4, 64), (7, 700), (8, 257), (33, 150), (70, 65)]
            .into_iter()
            .enumerate()
    {
        let diagonal = AffineDiagonal::new(n);
        check::<R, _>(
            &device,
            diagonal,
            &elements(&diagonal, n, 1, steps, seed as u64),
            &format!("diagonal {n}"),
        );
        let scalar = AffineScalar::new(n);
        check::<R, _>(
            &device,
            scalar,
            &elements(&scalar, n, 1, steps, seed as u64),
            &format!("scalar {n}"),
        );
    }
    for (seed, (n, k, steps)) in [
        (2, 2, 300),
        (6, 3, 131),
        (8, 4, 65),
        (5, 5, 64),
        (14, 7, 66),
        (8, 8, 1),
        (13, 13, 70),
        (17, 17, 67),
    ]
    .into_iter()
    .enumerate()
    {
        let blocks = AffineBlocks::new(n, k).unwrap();
        check::<R, _>(
            &device,
            blocks,
            &elements(&blocks, n, k, steps, seed as u64),
            &format!("blocks {n}, {k}"),
        );
    }
    let dense = AffineDense::new(32);
    check::<R, _>(&device, dense, &elements(&dense, 32, 32, 65, 1), "dense 32");
}

#[test]
fn scans_equal_those_of_the_cpu_f32() {
    sizes::<f32>();
}

#[test]
fn scans_equal_those_of_the_cpu_f64() {
    sizes::<f64>();
}

/// Several groups of tiles, whose totals wait for each other.
#[test]
fn many_tiles_are_joined_in_order() {
    let device = cuda();
    let diagonal = AffineDiagonal::new(40);
    check::<f64, _>(&device, diagonal, &elements(&diagonal, 40, 1, 70 * 32 + 5, 3), "diagonal 40");
    let scalar = AffineScalar::new(1);
    check::<f32, _>(&device, scalar, &elements(&scalar, 1, 1, 130 * 2048 + 7, 4), "scalar 1");
}

/// A batch in both directions, with the arguments as they are and exchanged: close to the CPU's, and the bits of each sequence alone.
fn check_batch<R: Real, Op: ScanOp<R> + DeviceScan>(
    op: Op,
    batch: usize,
    elements: &[R],
    what: &str,
) {
    fn scan<R: Real, Op: ScanOp<R> + DeviceScan>(
        op: &Op,
        batch: usize,
        elements: &[R],
        reverse: bool,
        what: &str,
    ) {
        let (device, cpu, width) = (cuda(), Cpu::new(), op.width());
        let (mut got, mut expected) = (elements.to_vec(), elements.to_vec());
        if reverse {
            device.scan_batch_reverse(op, &mut got, batch).unwrap();
            cpu.scan_batch_reverse(op, &mut expected, batch).unwrap();
        } else {
            device.scan_batch(op, &mut got, batch).unwrap();
            cpu.scan_batch(op, &mut expected, batch).unwrap();
        }
        assert_close(width, &got, &expected, what);
        let span = elements.len() / batch;
        for (sequence, got) in elements.chunks(span).zip(got.chunks(span)) {
            let mut alone = sequence.to_vec();
            if reverse {
                device.scan_reverse(op, &mut alone).unwrap();
            } else {
                device.scan(op, &mut alone).unwrap();
            }
            let same =
                alone.iter().zip(got).all(|(x, y)| x.to_f64().to_bits() == y.to_f64().to_bits());
            assert!(same, "{what}: other bits than alone");
        }
    }
    for reverse in [false, true] {
        let what = format!("{what}, {batch} sequences, reverse {reverse}");
        scan(&op, batch, elements, reverse, &what);
        scan(&Opposite(&op), batch, elements, reverse, &format!("{what}, exchanged"));
    }
}

/// Batches of a few sequences, in one tile or chunk each and in several.
fn batches<R: Real>() {
    for (seed, (n, batch, steps)) in
        [(1, 3, 2300), (3, 7, 1), (5, 5, 300), (33, 3, 131)].into_iter().enumerate()
    {
        let seed = seed as u64;
        let diagonal = AffineDiagonal::new(n);
        let maps = elements::<R>(&diagonal, n, 1, batch * steps, seed);
        check_batch(diagonal, batch, &maps, &format!("diagonal {n}"));
        let scalar = AffineScalar::new(n);
        let maps = elements::<R>(&scalar, n, 1, batch * steps, seed);
        check_batch(scalar, batch, &maps, &format!("scalar {n}"));
    }
    for (seed, (n, k, batch, steps)) in
        [(6, 3, 5, 131), (8, 2, 3, 65), (10, 5, 7, 1), (18, 9, 3, 67)].into_iter().enumerate()
    {
        let blocks = AffineBlocks::new(n, k).unwrap();
        let maps = elements::<R>(&blocks, n, k, batch * steps, seed as u64);
        check_batch(blocks, batch, &maps, &format!("blocks {n}, {k}"));
    }
    let dense = AffineDense::new(7);
    check_batch(dense, 3, &elements::<R>(&dense, 7, 7, 3 * 70, 1), "dense 7");
}

#[test]
fn a_batch_is_scanned_by_its_sequences_f32() {
    batches::<f32>();
}

#[test]
fn a_batch_is_scanned_by_its_sequences_f64() {
    batches::<f64>();
}

/// Groups of tiles, and totals of chunks in chunks themselves, in each sequence.
#[test]
fn long_sequences_of_a_batch() {
    let diagonal = AffineDiagonal::new(33);
    let maps = elements::<f64>(&diagonal, 33, 1, 2 * 1100, 3);
    check_batch(diagonal, 2, &maps, "diagonal 33");
    let dense = AffineDense::new(2);
    check_batch(dense, 2, &elements::<f32>(&dense, 2, 2, 2 * 4300, 4), "dense 2");
}

/// Scanned twice without the host, and a copy that stays as it was.
#[test]
fn elements_stay_on_the_device() {
    let blocks = AffineBlocks::new(4, 2).unwrap();
    let given = elements::<f64>(&blocks, 4, 2, 150, 5);
    let mut here = cuda().elements(&given).unwrap();
    let mut copy = here.try_clone().unwrap();
    here.scan(&blocks).unwrap();
    here.scan_reverse(&blocks).unwrap();
    here.wait().unwrap();
    assert_eq!(copy.fetch().unwrap(), given);
    let mut there = given.clone();
    Cpu::new().scan(&blocks, &mut there).unwrap();
    Cpu::new().scan_reverse(&blocks, &mut there).unwrap();
    assert_close(blocks.width(), &here.fetch().unwrap(), &there, "on the device");
    let refused = copy.scan(&AffineDiagonal::new(7)).unwrap_err();
    assert!(matches!(refused, Error::Shape { .. }), "{refused}");
    assert_eq!(copy.len(), given.len());
}

/// A product beyond the range does not make NaN of what does not depend on it.
#[test]
fn a_product_that_overflows_stays_where_it_is() {
    let device = cuda();
    let op = AffineDiagonal::new(1);
    let mut elements = [1e200, 0.5].repeat(5000);
    let mut expected = elements.clone();
    device.scan(&op, &mut elements).unwrap();
    Cpu::new().scan(&op, &mut expected).unwrap();
    let finite = |x: &[f64]| x.iter().map(|x| x.is_finite()).collect::<Vec<_>>();
    assert_eq!(finite(&elements[..8]), finite(&expected[..8]));
    assert_eq!(elements[1], 0.5);
}

#[test]
fn what_a_device_cannot_scan_is_an_error() {
    let device = cuda();
    let wide = AffineDense::new(33);
    let error = device.scan(&wide, &mut [0.0f32; 33 * 34]).unwrap_err();
    assert!(
        matches!(&error, Error::Setting { .. }) && error.to_string().contains("at most 32"),
        "{error}"
    );
    let error = device.scan(&AffineScalar::new(0), &mut [1.0f32; 3]).unwrap_err();
    assert!(
        matches!(&error, Error::Setting { .. }) && error.to_string().contains("state_dim"),
        "{error}"
    );
    let error = device.scan(&AffineDiagonal::new(2), &mut [1.0f64; 5]).unwrap_err();
    assert!(matches!(&error, Error::Shape { .. }), "{error}");
    let error = device.scan_batch(&AffineDiagonal::new(2), &mut [1.0f64; 12], 2).unwrap_err();
    assert!(error.to_string().contains("[2 · T · 4]"), "{error}");
    device.scan(&AffineDiagonal::new(2), &mut [0.0f64; 0]).unwrap();
}
