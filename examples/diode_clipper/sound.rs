//! Sound files, and rates of samples.

use crate::common::cli::Misuse;
use std::f64::consts::PI;
use std::path::Path;

/// One channel between −1 and 1.
pub(crate) struct Sound {
    /// Samples a second.
    pub(crate) rate: u32,
    pub(crate) samples: Vec<f64>,
}

/// Reads a WAV file, of several channels the first.
pub(crate) fn read(path: &Path) -> Result<Sound, Misuse> {
    let wrong = |error: hound::Error| Misuse::new(format!("--input {}: {error}", path.display()));
    let mut reader = hound::WavReader::open(path).map_err(wrong)?;
    let spec = reader.spec();
    let channels = usize::from(spec.channels.max(1));
    let samples: Result<Vec<f64>, _> = match spec.sample_format {
        hound::SampleFormat::Float => {
            reader.samples::<f32>().step_by(channels).map(|x| x.map(f64::from)).collect()
        }
        hound::SampleFormat::Int => {
            let largest = f64::from(2.0f32.powi(i32::from(spec.bits_per_sample) - 1));
            let scaled = |x: i32| f64::from(x) / largest;
            reader.samples::<i32>().step_by(channels).map(|x| x.map(scaled)).collect()
        }
    };
    let samples = samples.map_err(wrong)?;
    if samples.is_empty() || samples.iter().any(|x| !x.is_finite()) {
        let expected = "expected at least one sample, and finite ones";
        return Err(Misuse::new(format!("--input {}: {expected}", path.display())));
    }
    Ok(Sound { rate: spec.sample_rate, samples })
}

/// Writes one channel of 16 bits; what is beyond ±1 is cut off.
pub(crate) fn write(path: &Path, sound: &Sound) -> Result<(), Misuse> {
    let wrong = |error: hound::Error| Misuse::new(format!("--output {}: {error}", path.display()));
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: sound.rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(wrong)?;
    for &x in &sound.samples {
        writer.write_sample((x.clamp(-1.0, 1.0) * 32767.0).round() as i16).map_err(wrong)?;
    }
    writer.finalize().map_err(wrong)
}

/// Samples on either side that a filter sees, at the lower rate.
const REACH: usize = 16;

/// The sinc of the lower rate's half, under Blackman's window; `factor` values a sample.
fn filter(factor: usize) -> Vec<f64> {
    let reach = (REACH * factor) as f64;
    (0..=2 * REACH * factor)
        .map(|i| {
            let x = i as f64 - reach;
            let sinc = match x {
                0.0 => 1.0,
                x => (PI * x / factor as f64).sin() / (PI * x / factor as f64),
            };
            let angle = PI * x / reach;
            sinc * (0.42 + 0.5 * angle.cos() + 0.08 * (2.0 * angle).cos())
        })
        .collect()
}

/// `factor` samples for each.
pub(crate) fn oversample(samples: &[f64], factor: usize) -> Vec<f64> {
    let filter = filter(factor);
    (0..samples.len() * factor)
        .map(|k| {
            // Sample j is in the middle of the filter where k = j · factor.
            let first = (k / factor + 1).saturating_sub(REACH);
            let last = (k / factor + REACH).min(samples.len() - 1);
            (first..=last).map(|j| samples[j] * filter[k + REACH * factor - j * factor]).sum()
        })
        .collect()
}

/// One sample of `factor`, without what would fold back.
pub(crate) fn decimate(samples: &[f64], factor: usize) -> Vec<f64> {
    let filter = filter(factor);
    let reach = REACH * factor;
    (0..samples.len() / factor)
        .map(|j| {
            let middle = j * factor;
            let first = middle.saturating_sub(reach);
            let last = (middle + reach).min(samples.len() - 1);
            let sum: f64 = (first..=last).map(|k| samples[k] * filter[k + reach - middle]).sum();
            sum / factor as f64
        })
        .collect()
}
