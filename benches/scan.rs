//! Scans of affine maps in f64: one combination after the other (the baseline), and the backend's scan on
//! one thread and on all.
//!
//! ```text
//! cargo bench --bench scan
//! ```

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use deer_solver::scan::{AffineBlocks, AffineDense, AffineDiagonal};
use deer_solver::{Cpu, Result, ScanOp};
use std::time::Duration;

/// Numbers in all elements together: 16 MB.
const NUMBERS: usize = 2_000_000;

/// Elements whose products neither grow nor vanish at once.
fn elements(count: usize) -> Vec<f64> {
    (0..count).map(|i| 0.4 * (0.7 * i as f64).sin()).collect()
}

/// Each element combined with the scan of those before it.
fn in_order<Op: ScanOp<f64>>(op: &Op, elements: &mut [f64]) {
    let width = op.width();
    let mut sum = vec![0.0; width];
    let mut work = vec![0.0; op.workspace()];
    for end in (2 * width..=elements.len()).step_by(width) {
        let (done, element) = elements[..end].split_at_mut(end - width);
        op.combine(&done[end - 2 * width..], element, &mut sum, &mut work);
        element.copy_from_slice(&sum);
    }
}

fn scan<Op: ScanOp<f64>>(criterion: &mut Criterion, name: &str, op: &Op) -> Result<()> {
    let count = NUMBERS / op.width();
    let elements = elements(count * op.width());
    let (one, all) = (Cpu::with_threads(1)?, Cpu::new());
    let mut group = criterion.benchmark_group(format!("scan of {name}"));
    group.throughput(Throughput::Elements(count as u64));
    group.sample_size(10).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    group.bench_function("in order (baseline)", |bencher| {
        let copy = || elements.clone();
        bencher.iter_batched_ref(copy, |copy| in_order(op, copy), BatchSize::LargeInput);
    });
    for cpu in [one, all] {
        let threads = BenchmarkId::new("Cpu::scan, threads", cpu.threads());
        group.bench_function(threads, |bencher| {
            let copy = || elements.clone();
            bencher.iter_batched_ref(
                copy,
                |copy| cpu.scan(op, copy).is_ok(),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    scan(&mut criterion, "diagonal maps, n = 8", &AffineDiagonal::new(8))?;
    scan(&mut criterion, "2 by 2 blocks, n = 8", &AffineBlocks::new(8, 2)?)?;
    scan(&mut criterion, "dense maps, n = 2", &AffineDense::new(2))?;
    scan(&mut criterion, "dense maps, n = 16", &AffineDense::new(16))?;
    criterion.final_summary();
    Ok(())
}
