//! A GRU in f32 over one sequence: the plain loop (the baseline), the solver's loop, and the methods that
//! are parallel over time, on all threads.
//!
//! ```text
//! cargo bench --bench recurrence
//! ```
//!
//! Sweeps and work of each method are printed before it is timed. `cargo run --release --example
//! speed` has more sizes, and runs what it compares in turn.

#[path = "../examples/common/data.rs"]
mod data;
#[path = "../examples/common/plain.rs"]
mod plain;

use criterion::{BenchmarkId, Criterion, Throughput};
use deer_solver::{Cpu, Problem, Result, Solver, cells::Gru};
use ndarray::Array2;
use std::hint::black_box;
use std::time::Duration;

/// Steps, and state sizes. Dense Newton at n = 32 takes seconds: it is left to the table.
const STEPS: usize = 100_000;
const SIZES: [usize; 3] = [2, 8, 32];
const LARGEST_DENSE: usize = 8;

fn recurrence(criterion: &mut Criterion) -> Result<()> {
    let cpu = Cpu::new();
    let inputs = data::normal::<f32>((1, STEPS, 2), 1);
    let mut group = criterion.benchmark_group("gru, f32, T = 1e5");
    group.throughput(Throughput::Elements(STEPS as u64));
    group.sample_size(10).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    for n in SIZES {
        let gru = Gru::<f32>::random(2, n, 0);
        let x0 = Array2::zeros((1, n));
        group.bench_function(BenchmarkId::new("plain loop (baseline)", n), |bencher| {
            bencher.iter(|| black_box(plain::plain_loop(&gru, x0.view(), inputs.view())));
        });
        let problem = Problem::batch(&gru, x0.view(), inputs.view())?;
        for solver in [Solver::sequential(), Solver::auto(), Solver::deer(), Solver::quasi_deer()] {
            let name = solver.method.to_string();
            if name == "deer" && n > LARGEST_DENSE {
                continue;
            }
            let solution = solver.solve(&problem, &cpu)?;
            let report = solution.report();
            println!(
                "{name}, n = {n}: by {}, {} sweeps, {:.2} of the loop's steps",
                report.method, report.sweeps, report.work
            );
            group.bench_function(BenchmarkId::new(name, n), |bencher| {
                bencher.iter(|| black_box(solver.solve(&problem, &cpu).is_ok()));
            });
        }
    }
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    recurrence(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
