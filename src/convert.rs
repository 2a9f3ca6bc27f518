//! nalgebra and faer matrices as arrays and back (features `nalgebra`, `faer`).
//!
//! | from | to | copies |
//! |---|---|---|
//! | [`ArrayView2`] row-major, as [`Solution::trajectory`](crate::Solution::trajectory) gives it | nalgebra or faer view, by [`AsMatrix`] | never |
//! | any other [`ArrayView2`] | nalgebra or faer view | error: make it contiguous first |
//! | nalgebra matrix (of a view, `.clone_owned()`) | [`CowArray`], by [`ToArray`] | never |
//! | faer matrix or view | [`CowArray`], by [`ToArray`] | always: its columns are padded |
//!
//! A [`Problem`](crate::Problem) takes column-major arrays too, and copies them once into the order of
//! time.
//!
//! # Example
//! ```
//! # #[cfg(all(feature = "nalgebra", feature = "cpu"))] {
//! use deer_solver::{cells::Elman, convert::{AsMatrix, ToArray}, Cpu, Problem, Solver};
//! use nalgebra::{DMatrix, DVector};
//!
//! let cell = Elman::<f64>::random(2, 3, 0);
//! let inputs = DMatrix::from_fn(50, 2, |t, i| (t + i) as f64 * 0.01);
//! let inputs = inputs.to_array();
//! let x0 = ndarray::Array1::zeros(3);
//! let problem = Problem::new(&cell, x0.view(), inputs.view())?;
//! let solution = Solver::auto().solve(&problem, &Cpu::new())?;
//! let trajectory = solution.trajectory(0);
//! let matrix = AsMatrix::nalgebra(&trajectory)?;
//! assert_eq!(matrix.shape(), (50, 3));
//! # }
//! # Ok::<(), deer_solver::Error>(())
//! ```

use crate::error::{Error, Result};
use crate::scalar::Real;
use ndarray::{ArrayView2, CowArray, Ix2};

/// A matrix of another library as an array `[rows, columns]`.
pub trait ToArray<R> {
    /// The array, borrowed where the layout allows.
    fn to_array(&self) -> CowArray<'_, R, Ix2>;
}

/// An array as a matrix view of another library, without copying.
pub trait AsMatrix<R> {
    /// As a nalgebra view `[rows, columns]`.
    ///
    /// # Errors
    /// An array that is not contiguous in row-major order.
    #[cfg(feature = "nalgebra")]
    fn nalgebra(&self) -> Result<nalgebra::DMatrixView<'_, R, nalgebra::Dyn, nalgebra::Dyn>>;

    /// As a faer view `[rows, columns]`.
    ///
    /// # Errors
    /// An array that is not contiguous in row-major order.
    #[cfg(feature = "faer")]
    fn faer(&self) -> Result<faer::MatRef<'_, R>>;
}

impl<R: Real> AsMatrix<R> for ArrayView2<'_, R> {
    #[cfg(feature = "nalgebra")]
    fn nalgebra(&self) -> Result<nalgebra::DMatrixView<'_, R, nalgebra::Dyn, nalgebra::Dyn>> {
        let (rows, columns) = self.dim();
        let slice = row_major(self)?;
        Ok(nalgebra::DMatrixView::from_slice_with_strides(slice, rows, columns, columns, 1))
    }

    #[cfg(feature = "faer")]
    fn faer(&self) -> Result<faer::MatRef<'_, R>> {
        let (rows, columns) = self.dim();
        Ok(faer::MatRef::from_row_major_slice(row_major(self)?, rows, columns))
    }
}

fn row_major<'v, R: Real>(array: &'v ArrayView2<'_, R>) -> Result<&'v [R]> {
    array.as_slice().ok_or_else(|| Error::Setting {
        setting: "array",
        expected: "a contiguous array in row-major order (`.as_standard_layout()` makes one)"
            .into(),
        got: format!("shape {:?} with strides {:?}", array.shape(), array.strides()),
    })
}

#[cfg(feature = "nalgebra")]
impl<R, Rows, Columns, Store> ToArray<R> for nalgebra::Matrix<R, Rows, Columns, Store>
where
    R: Real,
    Rows: nalgebra::Dim,
    Columns: nalgebra::Dim,
    Store: nalgebra::storage::IsContiguous + nalgebra::RawStorage<R, Rows, Columns>,
{
    fn to_array(&self) -> CowArray<'_, R, Ix2> {
        use ndarray::ShapeBuilder;
        // Contiguous storage is one slice, column after column.
        let view = ArrayView2::from_shape(self.shape().f(), self.as_slice());
        match view {
            Ok(view) => view.into(),
            Err(_) => copied(self.shape(), |i, j| self[(i, j)]),
        }
    }
}

#[cfg(feature = "faer")]
impl<R: Real> ToArray<R> for faer::MatRef<'_, R> {
    fn to_array(&self) -> CowArray<'_, R, Ix2> {
        copied((self.nrows(), self.ncols()), |i, j| self[(i, j)])
    }
}

#[cfg(feature = "faer")]
impl<R: Real> ToArray<R> for faer::Mat<R> {
    fn to_array(&self) -> CowArray<'_, R, Ix2> {
        copied((self.nrows(), self.ncols()), |i, j| self[(i, j)])
    }
}

fn copied<R: Real>(
    shape: (usize, usize),
    entry: impl Fn(usize, usize) -> R,
) -> CowArray<'static, R, Ix2> {
    ndarray::Array2::from_shape_fn(shape, |(i, j)| entry(i, j)).into()
}
