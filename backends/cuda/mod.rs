//! CUDA: a block of time, or a part of its state, in each thread of the device.
//!
//! The kernels are those of `ptx/`. Those that run a step are templates, into which the instructions of
//! the step's graph are put; the driver compiles the result, once for each recurrence.

mod blocks;
mod cells;
mod chunks;
mod cost;
mod derivative;
mod driver;
mod elements;
mod emit;
mod fault;
mod gradients;
mod kernels;
mod listing;
mod maps;
mod newton;
mod programs;
mod scan;
mod sums;
mod sweep;
mod trajectory;

use crate::backend::Backend;
use crate::dynamics::Recurrence;
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::scan::ScanOp;
use crate::solver::Linearization;
use cells::Weights;
use driver::{Buffer, Device};
use kernels::Modules;
use std::sync::{Arc, Mutex};

pub use elements::DeviceElements;
pub use fault::CudaFault;
pub use scan::DeviceScan;

/// A CUDA device.
///
/// Used in place of [`Cpu`](crate::Cpu). Clones share the device, its stream and the compiled modules; all calls on
/// them, from whatever thread, happen in the order of the stream. Handles from [`new`](Self::new) are independent of
/// each other.
///
/// What runs there: recurrences, explicit ([`Dynamics`](crate::Dynamics)) and defined by an equation ([`Implicit`](crate::Implicit)), by the
/// loop, block Jacobi, DEER, quasi-DEER, Picard and shooting, and their derivatives. ELK and the diagnostics are left to `Cpu`, and asking
/// for them is an error that says so.
///
/// # Example
/// ```no_run
/// use deer_solver::{cells::Gru, Cuda, Problem, Solver};
/// use ndarray::{Array1, Array2};
///
/// let gru = Gru::<f32>::random(2, 4, 0);
/// let (x0, inputs) = (Array1::zeros(4), Array2::ones((100_000, 2)));
/// let problem = Problem::new(&gru, x0.view(), inputs.view())?;
/// let solution = Solver::auto().solve(&problem, &Cuda::new(0)?)?;
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cuda {
    device: Arc<Device>,
    modules: Arc<Modules>,
    /// Those of the last problem.
    inputs: Arc<Mutex<Option<Inputs>>>,
    /// Those of the last problem's cell.
    weights: Arc<Mutex<Option<Weights>>>,
    /// Those of the last solution that was fetched, for derivatives along it.
    kept: Arc<Mutex<Option<Kept>>>,
    /// PTX of the user's for a step.
    step: Option<Arc<str>>,
    /// Whether Newton's sweeps are one launch where they can be.
    fused: bool,
    /// Steps of a chunk of a Newton sweep, and of a block of derivatives, if not as many as are best.
    chunk_steps: Option<usize>,
}

/// The inputs of a problem, which do not change, by its identity.
#[derive(Debug)]
struct Inputs {
    problem: u64,
    all: Arc<Buffer>,
}

/// The states `[B, T, n]` of a solution, under a number that no other has.
#[derive(Debug)]
struct Kept {
    number: u64,
    states: Arc<Buffer>,
}

impl Cuda {
    /// The device of that number.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a number that no device has;
    /// [`Error::Backend`](crate::Error::Backend) with a [`CudaFault`] as its source where there is no driver, no
    /// device, a driver older than CUDA 11.0, a card of a compute capability below 7.0, no memory for a context, or where
    /// the driver says anything else, such as that another program has the device for itself ([`CudaFault::Driver`], with
    /// its code and text).
    pub fn new(device: usize) -> Result<Self> {
        let device = Device::open(device)?;
        let modules = Arc::new(Modules::new(&device));
        Ok(Self {
            device,
            modules,
            inputs: Arc::default(),
            weights: Arc::default(),
            kept: Arc::default(),
            step: None,
            fused: true,
            chunk_steps: None,
        })
    }

    /// A handle of the same device that runs `ptx` for a step, in place of what is made from the step's graph, wherever
    /// values alone are needed: in the loop and in block Jacobi. Newton's sweeps and derivatives stay with the graph.
    ///
    /// The text stands in a scope of its own, and may declare registers and labels. It reads the state from the
    /// registers `%x0`, `%x1`, … (`.f32` or `.f64`), the inputs from global memory at the address in the register `%at`,
    /// θ from the variable `theta`, which is in constant memory up to 60 kB, else in global memory; and writes the
    /// next state to `%x0`, `%x1`, …
    ///
    /// The whole state is in a thread's registers: 128 components at most. A larger one is an error of the first solve, and what the
    /// driver's compiler says of the text comes with it, as [`CudaFault::Refused`].
    ///
    /// # Example
    /// ```no_run
    /// use deer_solver::Cuda;
    ///
    /// // x' = θ₀ x + u
    /// let leaky = ".reg .f32 %a, %u;
    ///     ld.const.f32 %a, [theta];
    ///     ld.global.nc.f32 %u, [%at];
    ///     fma.rn.f32 %x0, %a, %x0, %u;";
    /// let cuda = Cuda::new(0)?.with_step(leaky);
    /// # Ok::<(), deer_solver::Error>(())
    /// ```
    pub fn with_step(&self, ptx: &str) -> Self {
        Self { step: Some(ptx.into()), ..self.clone() }
    }

    /// A handle of the same device whose sweeps of Newton's method are one launch where there is a kernel for that, as they are unless
    /// told, or are a launch for each stage.
    #[doc(hidden)]
    pub fn with_fused_sweeps(&self, fused: bool) -> Self {
        Self { fused, ..self.clone() }
    }

    /// Modules that are compiled on the device.
    #[doc(hidden)]
    pub fn compiled_modules(&self) -> usize {
        self.modules.count()
    }

    /// Bytes that were copied to the device.
    #[doc(hidden)]
    pub fn copied_bytes(&self) -> u64 {
        self.device.copied_bytes()
    }

    /// A handle of the same device that cuts time into chunks of so many steps for Newton's method and for derivatives, unless there were
    /// too many.
    #[doc(hidden)]
    pub fn with_chunk_steps(&self, steps: usize) -> Self {
        Self { chunk_steps: Some(steps.max(1)), ..self.clone() }
    }

    /// Inclusive scan in place, as [`Cpu::scan`](crate::Cpu::scan), of operators that have kernels.
    ///
    /// `elements` are `T` elements of [`op.width()`](ScanOp::width) numbers. The order of combination follows from `T` and
    /// the operator alone: the bits are the same in every run. Takes the memory of `elements` on the device, twice that
    /// for maps whose components do not mix.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the length is not a multiple of the width;
    /// [`Error::Setting`](crate::Error::Setting) for blocks larger than 32 × 32, or a state without components;
    /// [`Error::Backend`](crate::Error::Backend) where the device fails.
    ///
    /// # Example
    /// ```no_run
    /// use deer_solver::{Cuda, scan::AffineScalar};
    ///
    /// let mut sums = vec![1.0f64, 1.0, 1.0, 2.0, 1.0, 3.0]; // [a, b] with a = 1
    /// Cuda::new(0)?.scan(&AffineScalar::new(1), &mut sums)?;
    /// assert_eq!(sums, [1.0, 1.0, 1.0, 3.0, 1.0, 6.0]);
    /// # Ok::<(), deer_solver::Error>(())
    /// ```
    pub fn scan<R: Real, Op: ScanOp<R> + DeviceScan>(
        &self,
        op: &Op,
        elements: &mut [R],
    ) -> Result<()> {
        let mut scanned = self.elements(elements)?;
        scanned.scan(op)?;
        scanned.read(elements)
    }

    /// Inclusive scan from the end, in place, as [`Cpu::scan_reverse`](crate::Cpu::scan_reverse). Otherwise as
    /// [`scan`](Self::scan).
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn scan_reverse<R: Real, Op: ScanOp<R> + DeviceScan>(
        &self,
        op: &Op,
        elements: &mut [R],
    ) -> Result<()> {
        let mut scanned = self.elements(elements)?;
        scanned.scan_reverse(op)?;
        scanned.read(elements)
    }

    /// Inclusive scan of each of `batch` sequences of one length, in place, as [`Cpu::scan_batch`](crate::Cpu::scan_batch): as
    /// many launches as for one.
    ///
    /// `elements` are `[batch, T, width]` flat. The bits are those of each sequence [scanned](Self::scan) by itself.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the length is not a multiple of `batch · width`;
    /// [`Error::Setting`](crate::Error::Setting) for more than 2³² − 1 sequences; otherwise as [`scan`](Self::scan).
    pub fn scan_batch<R: Real, Op: ScanOp<R> + DeviceScan>(
        &self,
        op: &Op,
        elements: &mut [R],
        batch: usize,
    ) -> Result<()> {
        let mut scanned = self.elements(elements)?;
        scanned.scan_batch(op, batch)?;
        scanned.read(elements)
    }

    /// Inclusive scan from the end of each of `batch` sequences, in place, as
    /// [`Cpu::scan_batch_reverse`](crate::Cpu::scan_batch_reverse). Otherwise as [`scan_batch`](Self::scan_batch).
    ///
    /// # Errors
    /// As [`scan_batch`](Self::scan_batch).
    pub fn scan_batch_reverse<R: Real, Op: ScanOp<R> + DeviceScan>(
        &self,
        op: &Op,
        elements: &mut [R],
        batch: usize,
    ) -> Result<()> {
        let mut scanned = self.elements(elements)?;
        scanned.scan_batch_reverse(op, batch)?;
        scanned.read(elements)
    }

    /// Elements of scans, `[T · width]` flat as for [`scan`](Self::scan), copied to the device, to be scanned there more than once or
    /// beside other work. Their number is held against an operator's width when they are scanned.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) where the device fails or has no memory for them.
    ///
    /// # Example
    /// ```no_run
    /// use deer_solver::{Cuda, scan::AffineScalar};
    ///
    /// // Sums of sums.
    /// let op = AffineScalar::new(1);
    /// let mut elements = Cuda::new(0)?.elements(&[1.0f32, 1.0, 1.0, 2.0, 1.0, 3.0])?;
    /// elements.scan(&op)?;
    /// elements.scan(&op)?;
    /// assert_eq!(elements.fetch()?, [1.0, 1.0, 1.0, 4.0, 1.0, 10.0]);
    /// # Ok::<(), deer_solver::Error>(())
    /// ```
    pub fn elements<R: Real>(&self, elements: &[R]) -> Result<DeviceElements<R>> {
        DeviceElements::upload(self, elements)
    }

    /// The PTX that is made for the steps of `problem`: the kernels that roll blocks, or, with a `linearization`, those
    /// that linearise and replay them. Where a state falls into parts of several kinds, each has a module of its own: these
    /// are one after the other. Needs no device.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for steps that cannot run on a device: defined by an equation with more than 16 unknowns, with
    /// more than 128 components that depend on each other, or not traceable (see [`Graph::trace`](crate::graph::Graph::trace)).
    pub fn ptx<D: Recurrence>(
        problem: &Problem<'_, D>,
        linearization: Option<Linearization>,
    ) -> Result<String> {
        match linearization {
            None => Ok(programs::stepping(problem)?.text()),
            Some(linearization) => Ok(programs::linearized(problem, linearization)?.text()),
        }
    }

    /// The PTX of every module that is made for the steps of `problem`, with names. Needs no device.
    #[doc(hidden)]
    pub fn ptx_modules<D: Recurrence>(problem: &Problem<'_, D>) -> Result<Vec<(String, String)>> {
        listing::modules(problem)
    }
}

impl Backend for Cuda {
    fn describe(&self) -> String {
        format!("cuda, {}, {} multiprocessors", self.device.name(), self.device.processors())
    }

    fn groups(&self) -> usize {
        /// Warps of a multiprocessor that hide each other's latency.
        const WARPS: usize = 32;
        WARPS * self.device.processors()
    }
}
