//! Grids of times.

use crate::error::{Error, Result};
use crate::scalar::Real;
use ndarray::ArrayView1;

/// That there is a time, and all are finite and strictly increasing.
pub(super) fn check<R: Real>(times: ArrayView1<'_, R>) -> Result<()> {
    if times.is_empty() {
        return Err(Error::shape("times", "[at least 1]", &[0]));
    }
    if let Some(k) = times.iter().position(|t| !t.is_finite()) {
        return Err(Error::NonFinite {
            argument: "times",
            index: vec![k],
            value: times[k].to_f64(),
        });
    }
    match (1..times.len()).find(|&k| times[k] <= times[k - 1]) {
        None => Ok(()),
        Some(k) => Err(Error::setting(
            "times",
            "strictly increasing times",
            format!("times[{}] = {}, times[{k}] = {}", k - 1, times[k - 1], times[k]),
        )),
    }
}
