//! nalgebra and faer matrices to arrays and back.
#![cfg(all(feature = "nalgebra", feature = "faer"))]

use deer_solver::convert::{AsMatrix, ToArray};
use ndarray::{Array2, CowArray, ShapeBuilder};

#[test]
fn nalgebra_matrices_are_borrowed() {
    let matrix = nalgebra::DMatrix::from_fn(3, 5, |i, j| (10 * i + j) as f64);
    let array = matrix.to_array();
    assert!(array.is_view());
    assert_eq!(array.dim(), (3, 5));
    assert!(array.indexed_iter().all(|((i, j), &x)| x == (10 * i + j) as f64));
    let columns = matrix.columns(1, 2).clone_owned();
    assert_eq!(columns.to_array()[[2, 1]], 22.0);
}

#[test]
fn faer_matrices_are_copied() {
    let matrix = faer::Mat::from_fn(3, 5, |i, j| (10 * i + j) as f32);
    let array: CowArray<'_, f32, _> = matrix.to_array();
    assert_eq!(array.dim(), (3, 5));
    assert!(array.indexed_iter().all(|((i, j), &x)| x == (10 * i + j) as f32));
    let block = matrix.as_ref().submatrix(1, 2, 2, 2);
    assert_eq!(block.to_array()[[1, 1]], 23.0);
}

#[test]
fn arrays_are_viewed_where_contiguous() -> deer_solver::Result<()> {
    let array = Array2::from_shape_fn((4, 3), |(i, j)| (10 * i + j) as f64);
    let view = array.view();
    let nalgebra = AsMatrix::nalgebra(&view)?;
    let faer = AsMatrix::faer(&view)?;
    for ((i, j), &x) in array.indexed_iter() {
        assert_eq!(nalgebra[(i, j)], x);
        assert_eq!(faer[(i, j)], x);
    }
    let columns = Array2::<f64>::zeros((4, 3).f());
    let message = AsMatrix::faer(&columns.view()).unwrap_err().to_string();
    assert!(message.starts_with("array: expected a contiguous array"), "{message}");
    Ok(())
}
