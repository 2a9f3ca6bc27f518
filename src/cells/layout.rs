//! A cell's weights inside of its flat parameters.

use crate::error::{Error, Result};
use crate::scalar::Real;
use ndarray::{ArrayView2, ArrayViewD};

/// The parameters cut into consecutive pieces of the given lengths.
#[inline(always)]
pub(super) fn split<T, const N: usize>(params: &[T], lengths: [usize; N]) -> [&[T]; N] {
    let mut pieces: [&[T]; N] = [&[]; N];
    let mut rest = params;
    for i in 0..N {
        (pieces[i], rest) = rest.split_at(lengths[i]);
    }
    pieces
}

/// A piece as a matrix of `columns` columns.
pub(super) fn matrix<R>(piece: &[R], rows: usize, columns: usize) -> ArrayView2<'_, R> {
    ArrayView2::from_shape((rows, columns), piece).expect("a piece has rows · columns entries")
}

/// An array that a constructor was given: its name, its entries, and the axes that it must have, each
/// with its name and length.
pub(super) type Given<'a, R> = (&'static str, ArrayViewD<'a, R>, &'a [(&'a str, usize)]);

/// The arrays one after the other, each row-major; an error where one has another shape.
pub(super) fn join<R: Real>(arrays: &[Given<'_, R>]) -> Result<Vec<R>> {
    let mut params = Vec::with_capacity(arrays.iter().map(|(_, array, _)| array.len()).sum());
    for (argument, array, axes) in arrays {
        let lengths: Vec<usize> = axes.iter().map(|axis| axis.1).collect();
        if array.shape() != lengths {
            let names: Vec<&str> = axes.iter().map(|axis| axis.0).collect();
            let expected = format!("[{}] = {lengths:?}", names.join(", "));
            return Err(Error::shape(argument, expected, array.shape()));
        }
        params.extend(array);
    }
    Ok(params)
}

/// Takes the last `length` parameters away and adds them to the `length` before: two biases that
/// are only ever added.
pub(super) fn add_last<R: Real>(params: &mut Vec<R>, length: usize) {
    let last = params.split_off(params.len() - length);
    let start = params.len() - length;
    for (p, v) in params[start..].iter_mut().zip(last) {
        *p += v;
    }
}
