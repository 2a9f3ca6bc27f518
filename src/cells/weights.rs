//! Weights from and to safetensors files under PyTorch's names (feature `safetensors`).

use super::{Elman, Gru, Lstm};
use crate::error::{Error, Result};
use crate::scalar::Real;
use ndarray::{Array1, Array2};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};
use std::collections::HashMap;
use std::error::Error as Cause;
use std::path::Path;

/// Names of PyTorch's tensors: weights `[gates·hidden, input]`, `[gates·hidden, hidden]`, biases `[gates·hidden]`.
const WEIGHT_IH: &str = "weight_ih_l0";
const WEIGHT_HH: &str = "weight_hh_l0";
const BIAS_IH: &str = "bias_ih_l0";
const BIAS_HH: &str = "bias_hh_l0";

macro_rules! files {
    ($cell:ident, $module:literal) => {
        #[doc = concat!("Files of `", $module, "` (feature `safetensors`).")]
        ///
        /// PyTorch writes one with `safetensors.torch.save_file(module.state_dict(), path)`. The tensors are
        /// `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and `bias_hh_l0`, behind a prefix such as `"encoder.rnn."` where the module is
        /// part of a larger one; other tensors are left alone, among them further layers and the reverse direction. A
        /// module without biases has zeros here. Numbers of either precision are taken, and rounded where the cell's is single.
        impl<R: Real> $cell<R> {
            /// Reads the weights from a safetensors file; `prefix` is what stands before the names, often `""`.
            ///
            /// # Errors
            /// [`Error::File`] for a file that cannot be read or is not of that format, [`Error::Setting`] for a
            /// tensor that is not there or holds other numbers than `F32` or `F64`, [`Error::Shape`] for one that does not fit.
            ///
            /// # Example
            /// ```no_run
            #[doc = concat!("let cell = deer_solver::cells::", stringify!($cell), "::<f32>::load(\"model.safetensors\", \"encoder.rnn.\")?;")]
            /// # Ok::<(), deer_solver::Error>(())
            /// ```
            pub fn load(path: impl AsRef<Path>, prefix: &str) -> Result<Self> {
                let path = path.as_ref();
                let bytes = std::fs::read(path).map_err(|cause| file(path, "reading", cause))?;
                let tensors = Tensors::parse(&bytes, path, prefix)?;
                Self::from_tensors(&tensors)
            }

            /// As [`load`](Self::load), from the content of a file.
            ///
            /// # Errors
            /// Those of [`load`](Self::load).
            pub fn from_safetensors(bytes: &[u8], prefix: &str) -> Result<Self> {
                Self::from_tensors(&Tensors::parse(bytes, Path::new("bytes"), prefix)?)
            }

            fn from_tensors(tensors: &Tensors<'_>) -> Result<Self> {
                let (weight_ih, weight_hh) = (tensors.matrix(WEIGHT_IH)?, tensors.matrix(WEIGHT_HH)?);
                let [bias_ih, bias_hh] = tensors.biases(weight_hh.nrows())?;
                Self::from_torch(weight_ih.view(), weight_hh.view(), bias_ih.view(), bias_hh.view())
            }

            /// Writes the weights to a safetensors file, in the cell's precision; PyTorch and [`load`](Self::load) (with the
            /// prefix `""`) read it.
            ///
            /// # Errors
            /// [`Error::File`] for a file that cannot be written.
            pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
                let path = path.as_ref();
                std::fs::write(path, self.to_safetensors()?)
                    .map_err(|cause| file(path, "writing", cause))
            }

            /// The content of the file that [`save`](Self::save) writes.
            ///
            /// # Errors
            /// [`Error::File`] for weights that the format cannot hold.
            pub fn to_safetensors(&self) -> Result<Vec<u8>> {
                let [bias_ih, bias_hh] = self.torch_biases();
                let [ih, hh] = [self.weight_ih(), self.weight_hh()];
                write(&[
                    (WEIGHT_IH, ih.shape(), ih.iter().copied().collect()),
                    (WEIGHT_HH, hh.shape(), hh.iter().copied().collect()),
                    (BIAS_IH, &[bias_ih.len()], bias_ih),
                    (BIAS_HH, &[bias_hh.len()], bias_hh),
                ])
            }
        }
    };
}
files!(Gru, "torch.nn.GRU");
files!(Lstm, "torch.nn.LSTM");
files!(Elman, "torch.nn.RNN");

/// PyTorch has two biases, which but for one gate of the [`Gru`] just add: all is in the first.
impl<R: Real> Gru<R> {
    fn torch_biases(&self) -> [Vec<R>; 2] {
        let mut second = vec![R::default(); 2 * self.hidden()];
        second.extend(self.bias_n());
        [self.bias().to_vec(), second]
    }
}
impl<R: Real> Lstm<R> {
    fn torch_biases(&self) -> [Vec<R>; 2] {
        [self.bias().to_vec(), vec![R::default(); self.bias().len()]]
    }
}
impl<R: Real> Elman<R> {
    fn torch_biases(&self) -> [Vec<R>; 2] {
        [self.bias().to_vec(), vec![R::default(); self.bias().len()]]
    }
}

/// A file's tensors whose names begin with a prefix.
struct Tensors<'a> {
    all: SafeTensors<'a>,
    prefix: &'a str,
}

impl<'a> Tensors<'a> {
    fn parse(bytes: &'a [u8], path: &Path, prefix: &'a str) -> Result<Self> {
        let all = SafeTensors::deserialize(bytes)
            .map_err(|cause| file(path, "reading as safetensors", cause))?;
        Ok(Self { all, prefix })
    }

    /// The numbers of a tensor, row-major.
    fn numbers<R: Real>(&self, name: &'static str) -> Result<(Vec<usize>, Vec<R>)> {
        let full = format!("{}{name}", self.prefix);
        let tensor = self.all.tensor(&full).map_err(|_| {
            Error::setting("safetensors", format!("a tensor `{full}`"), self.names())
        })?;
        // Little-endian by definition of the format; its length has been checked against the shape.
        let numbers = match tensor.dtype() {
            Dtype::F32 => tensor
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| R::from_f64(f32::from_le_bytes(bytes).into()))
                .collect(),
            Dtype::F64 => tensor
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| R::from_f64(f64::from_le_bytes(bytes)))
                .collect(),
            other => {
                return Err(Error::setting(
                    name,
                    "numbers of type F32 or F64",
                    format!("{other:?}"),
                ));
            }
        };
        Ok((tensor.shape().to_vec(), numbers))
    }

    fn matrix<R: Real>(&self, name: &'static str) -> Result<Array2<R>> {
        let (shape, numbers) = self.numbers(name)?;
        let wrong = || Error::shape(name, "[gates·hidden, columns]", &shape);
        let &[rows, columns] = shape.as_slice() else { return Err(wrong()) };
        Array2::from_shape_vec((rows, columns), numbers).map_err(|_| wrong())
    }

    /// The two biases `[rows]`: zeros if the file has neither.
    fn biases<R: Real>(&self, rows: usize) -> Result<[Array1<R>; 2]> {
        let names = [BIAS_IH, BIAS_HH];
        if names.iter().all(|name| self.all.tensor(&format!("{}{name}", self.prefix)).is_err()) {
            return Ok([Array1::default(rows), Array1::default(rows)]);
        }
        let vector = |name| {
            let (shape, numbers) = self.numbers(name)?;
            match shape.len() {
                1 => Ok(Array1::from_vec(numbers)),
                _ => Err(Error::shape(name, "[gates·hidden]", &shape)),
            }
        };
        Ok([vector(BIAS_IH)?, vector(BIAS_HH)?])
    }

    /// Names for a message.
    fn names(&self) -> String {
        /// Names that are listed.
        const MOST: usize = 12;
        let mut names = self.all.names();
        names.sort_unstable();
        let more = if names.len() > MOST {
            format!(", … ({} in all)", names.len())
        } else {
            String::new()
        };
        names.truncate(MOST);
        if names.is_empty() { "none".into() } else { format!("{}{more}", names.join(", ")) }
    }
}

fn write<R: Real>(tensors: &[(&str, &[usize], Vec<R>)]) -> Result<Vec<u8>> {
    let failed = |cause| file(Path::new("bytes"), "writing as safetensors", cause);
    let dtype = if R::SINGLE { Dtype::F32 } else { Dtype::F64 };
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, numbers)| {
            numbers.iter().map(|x| x.to_f64()).flat_map(|x| little_endian::<R>(x)).collect()
        })
        .collect();
    let mut views = Vec::with_capacity(tensors.len());
    for ((name, shape, _), bytes) in tensors.iter().zip(&bytes) {
        views.push((*name, TensorView::new(dtype, shape.to_vec(), bytes).map_err(failed)?));
    }
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize(views, Some(format)).map_err(failed)
}

fn little_endian<R: Real>(x: f64) -> Vec<u8> {
    if R::SINGLE { (x as f32).to_le_bytes().to_vec() } else { x.to_le_bytes().to_vec() }
}

fn file(path: &Path, operation: &'static str, cause: impl Cause + Send + Sync + 'static) -> Error {
    Error::File { file: path.display().to_string(), operation, source: Box::new(cause) }
}
