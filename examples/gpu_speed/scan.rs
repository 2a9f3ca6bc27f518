//! A scan of diagonal maps beside a copy of as many bytes, which bounds it.

use crate::common::cli::Misuse;
use crate::common::machine::available_memory;
use deer_solver::{AffineDiagonal, Cuda, DeviceElements, ScanOp};
use serde::Serialize;
use std::time::Instant;

/// Components of a map.
const N: usize = 32;

/// What became of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Scan {
    n: usize,
    steps: usize,
    /// Read and written, together.
    bytes: usize,
    /// Medians.
    seconds: Option<f64>,
    copy_seconds: Option<f64>,
    /// The copy's time in that of the scan.
    pub(crate) of_copy: Option<f64>,
    error: Option<String>,
    pub(crate) failed: bool,
}

/// Steps: in full 10⁹ maps.
fn steps(quick: bool) -> usize {
    if quick { 500 } else { 31_250_000 }
}

pub(crate) fn measure(quick: bool, device: usize) -> Scan {
    let steps = steps(quick);
    let bytes = 2 * steps * ScanOp::<f32>::width(&AffineDiagonal::new(N)) * size_of::<f32>();
    let blank = Scan { n: N, steps, bytes, ..Scan::default() };
    if available_memory().is_some_and(|room| (room as usize) < bytes) {
        return Scan { error: Some(format!("needs {bytes} bytes of the host")), ..blank };
    }
    match medians(steps, if quick { 3 } else { 21 }, device) {
        Ok([scan, copy]) => Scan {
            seconds: Some(scan),
            copy_seconds: Some(copy),
            of_copy: Some(copy / scan),
            ..blank
        },
        Err(error) => Scan { error: Some(error.to_string()), failed: true, ..blank },
    }
}

/// Scans once, for a profiler.
pub(crate) fn once(quick: bool, device: usize) -> Result<(), Misuse> {
    let mut maps = upload(steps(quick), device)?;
    maps.scan(&AffineDiagonal::new(N))?;
    Ok(maps.wait()?)
}

/// Maps that shrink a little, on the device.
fn upload(steps: usize, device: usize) -> Result<DeviceElements<f32>, Misuse> {
    let op = AffineDiagonal::new(N);
    let count = steps * ScanOp::<f32>::width(&op);
    let maps: Vec<f32> = (0..count).map(|i| 0.9 + 0.1 * ((i % 251) as f32 / 251.0)).collect();
    Ok(Cuda::new(device)?.elements(&maps)?)
}

/// Seconds of a scan and of a copy, each after one that does not count and leaves its memory: from then on each of the two takes
/// what the other gave back, where the backend keeps that much.
fn medians(steps: usize, runs: usize, device: usize) -> Result<[f64; 2], Misuse> {
    let op = AffineDiagonal::new(N);
    let mut maps = upload(steps, device)?;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..=runs {
        maps.wait()?;
        let started = Instant::now();
        maps.scan(&op)?;
        maps.wait()?;
        times[0].push(started.elapsed().as_secs_f64());
        let started = Instant::now();
        let copy = maps.try_clone()?;
        copy.wait()?;
        times[1].push(started.elapsed().as_secs_f64());
    }
    Ok(times.map(|mut times| {
        times.remove(0);
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }))
}

/// A line below the table.
pub(crate) fn sentence(scan: &Scan) -> String {
    let Scan { n, steps, bytes, .. } = scan;
    let what = format!("Scan of {steps} diagonal maps of {n} components, float32");
    match (scan.seconds, scan.copy_seconds, &scan.error) {
        (Some(seconds), Some(copy), _) => {
            let rate = |seconds: f64| *bytes as f64 / seconds * 1e-9;
            format!(
                "{what}: {:.3} ms, {:.1} GB/s; a copy of as much: {:.3} ms, {:.1} GB/s.",
                seconds * 1e3,
                rate(seconds),
                copy * 1e3,
                rate(copy)
            )
        }
        (_, _, error) => format!("{what}: {}", error.as_deref().unwrap_or_default()),
    }
}
