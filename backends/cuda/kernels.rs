//! The modules that a device has compiled.

use super::driver::{Arguments, Device, Grid, Number, Program};
use super::emit::{Columns, PARAMS, Precision, Pull, Push, Step, TANGENTS, splice};
use crate::dynamics::{Recurrence, Structure};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::graph::adjoint::Adjoint;
use crate::graph::tangent::Tangent;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::solver::Linearization;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `ptx/sweeps.cu`.
const SWEEPS: &str = include_str!("../../ptx/built/sweeps.ptx");
/// `ptx/borders.cu`.
const BORDERS: &str = include_str!("../../ptx/built/borders.ptx");
/// `ptx/derivatives.cu`.
const DERIVATIVES: &str = include_str!("../../ptx/built/derivatives.ptx");
/// `ptx/products.cu`.
const PRODUCTS: &str = include_str!("../../ptx/built/products.ptx");
/// `ptx/states.cu`.
const STATES: &str = include_str!("../../ptx/built/states.ptx");

/// `ptx/cells.cu`.
const CELLS: &str = include_str!("../../ptx/built/cells.ptx");
/// `ptx/scan_components.cu`.
const SCAN_COMPONENTS: &str = include_str!("../../ptx/built/scan_components.ptx");
/// `ptx/scan_blocks.cu`.
const SCAN_BLOCKS: &str = include_str!("../../ptx/built/scan_blocks.ptx");

/// Threads of a block: as `__launch_bounds__` of the kernels says.
pub(super) const THREADS: usize = 128;
/// Components of the largest state that is held in a thread's registers.
const LARGEST_STATE: usize = 128;
/// Numbers of a thread that do not crowd its registers.
const ROOM: usize = 64;

/// All modules, by their text.
#[derive(Debug)]
pub(super) struct Modules {
    device: Arc<Device>,
    known: Mutex<HashMap<String, Arc<Module>>>,
    /// What was made of a graph lately, so that its text need not be made again.
    lately: Mutex<HashMap<(u64, Kind), Kernels>>,
}

/// Parts of the templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Rolling,
    Settling,
    Linearizing(Linearization),
    Pulling,
    /// With tangents of all, or of the state alone.
    Pushing(bool),
}

/// A module, and what θ in it is.
#[derive(Debug)]
pub(super) struct Module {
    program: Program,
    /// The bits of θ that were set last.
    params: Mutex<Option<Vec<u64>>>,
}

/// A part of [`SWEEPS`] for one recurrence.
#[derive(Clone, Debug)]
pub(super) struct Kernels {
    module: Arc<Module>,
    /// Columns of a derivative in one thread.
    pub(super) together: usize,
    /// Columns of a chunk's map.
    pub(super) columns: usize,
}

/// The precision of `R`.
pub(super) fn precision<R: Real>() -> Precision {
    if R::SINGLE { Precision::Single } else { Precision::Double }
}

/// `R` at the end of a kernel's name.
pub(super) fn suffix<R: Real>() -> &'static str {
    if R::SINGLE { "f32" } else { "f64" }
}

impl Modules {
    pub(super) fn new(device: &Arc<Device>) -> Self {
        Self { device: Arc::clone(device), known: Mutex::default(), lately: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Module>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn module(&self, text: String) -> Result<Arc<Module>> {
        if let Some(module) = self.known().get(&text) {
            return Ok(Arc::clone(module));
        }
        // Not under the lock: the driver may take seconds.
        let program = self.device.compile(&text)?;
        let module = Arc::new(Module { program, params: Mutex::new(None) });
        Ok(Arc::clone(self.known().entry(text).or_insert(module)))
    }

    /// What moves states about.
    pub(super) fn states(&self) -> Result<Arc<Module>> {
        self.module(STATES.to_owned())
    }

    /// What moves the borders of chunks.
    pub(super) fn borders(&self) -> Result<Arc<Module>> {
        self.module(BORDERS.to_owned())
    }

    /// What sums products of factors.
    pub(super) fn products(&self) -> Result<Arc<Module>> {
        self.module(PRODUCTS.to_owned())
    }

    /// A cell in order.
    pub(super) fn cell(&self, kernel: &str) -> Result<Arc<Module>> {
        self.module(only(CELLS, &[kernel]))
    }

    /// One scan of maps whose components do not mix.
    pub(super) fn scan_components(&self, kernel: &str) -> Result<Arc<Module>> {
        self.module(only(SCAN_COMPONENTS, &[kernel]))
    }

    /// One scan of maps of blocks, or its reduction.
    pub(super) fn scan_blocks(&self, kernel: &str) -> Result<Arc<Module>> {
        self.module(only(SCAN_BLOCKS, &[kernel]))
    }

    /// What `make` makes of the graph `identity`, or has made lately.
    fn kernels(
        &self,
        identity: u64,
        kind: Kind,
        make: impl FnOnce() -> Result<Made>,
    ) -> Result<Kernels> {
        /// Graphs that are remembered.
        const MOST: usize = 256;
        let lately = || self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernels) = lately().get(&(identity, kind)) {
            return Ok(kernels.clone());
        }
        let Made { text, together, columns } = make()?;
        let kernels = Kernels { module: self.module(text)?, together, columns };
        let mut lately = lately();
        if lately.len() >= MOST {
            lately.clear();
        }
        lately.insert((identity, kind), kernels.clone());
        Ok(kernels)
    }

    /// The kernel that runs backwards.
    pub(super) fn pulling<R: Real>(&self, adjoint: &Adjoint) -> Result<Kernels> {
        self.kernels(adjoint.identity, Kind::Pulling, || {
            let graph = adjoint.graph().cloned().ok_or_else(|| {
                Error::setting("adjoint", "one made from a graph", "one written by hand")
            })?;
            let step = Pull { precision: precision::<R>(), graph };
            Ok(Made::of(splice(&only(DERIVATIVES, &["pull"]), &step)?))
        })
    }

    /// The kernel that runs forwards: with tangents of `all`, or of the state alone.
    pub(super) fn pushing<R: Real>(&self, tangent: &Tangent, all: bool) -> Result<Kernels> {
        self.kernels(tangent.identity, Kind::Pushing(all), || {
            let graph = if all { &tangent.graph } else { &tangent.graph_in_state };
            let step = Push { precision: precision::<R>(), graph: graph.clone(), all };
            Ok(Made::of(splice(&only(DERIVATIVES, &["push"]), &step)?))
        })
    }

    /// The kernels that roll the steps of `problem`, or those that the user's `text` makes.
    pub(super) fn rolling<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        text: Option<&str>,
    ) -> Result<Kernels> {
        self.of_values(problem, text, Kind::Rolling, &ROLLING)
    }

    /// The kernels of block Jacobi.
    pub(super) fn settling<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        text: Option<&str>,
    ) -> Result<Kernels> {
        self.of_values(problem, text, Kind::Settling, &SETTLING)
    }

    fn of_values<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        text: Option<&str>,
        kind: Kind,
        kernels: &[&str],
    ) -> Result<Kernels> {
        if text.is_some() {
            let module = self.module(values(problem, text, kernels)?)?;
            return Ok(Kernels { module, together: 0, columns: 0 });
        }
        self.kernels(problem.graph_identity(), kind, || {
            Ok(Made::of(values(problem, None, kernels)?))
        })
    }

    /// The kernels that linearise them.
    pub(super) fn linearizing<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        linearization: Linearization,
    ) -> Result<Kernels> {
        let kind = Kind::Linearizing(linearization);
        self.kernels(problem.graph_identity(), kind, || linearizing(problem, linearization))
    }
}

/// The text of some kernels.
pub(super) struct Made {
    pub(super) text: String,
    /// Columns of a derivative in one thread.
    together: usize,
    /// Columns of a chunk's map.
    columns: usize,
}

impl Made {
    /// Without columns.
    fn of(text: String) -> Self {
        Self { text, together: 0, columns: 0 }
    }
}

/// The kernels that roll blocks by a list.
const ROLLING: [&str; 2] = ["roll", "sizes"];
/// Those of block Jacobi.
const SETTLING: [&str; 4] = ["open_all", "roll_open", "look", "settle"];

/// The text of all kernels that need the steps' values alone.
pub(super) fn stepping<D: Recurrence>(
    problem: &Problem<'_, D>,
    text: Option<&str>,
) -> Result<String> {
    values(problem, text, &[&ROLLING[..], &SETTLING].concat())
}

/// The text of kernels that need the steps' values alone.
fn values<D: Recurrence>(
    problem: &Problem<'_, D>,
    text: Option<&str>,
    kernels: &[&str],
) -> Result<String> {
    let graph = checked_graph(problem)?.clone();
    let step = Step::new(precision::<D::Real>(), graph, Columns::Unchanged, 0, Structure::Dense)
        .with_text(text);
    splice(&only(SWEEPS, kernels), &step)
}

/// The text of the kernels that linearise the steps of `problem`.
pub(super) fn linearizing<D: Recurrence>(
    problem: &Problem<'_, D>,
    linearization: Linearization,
) -> Result<Made> {
    let graph = checked_graph(problem)?;
    let n = problem.state_dim();
    let (made, structure, columns) = match linearization {
        Linearization::Zero | Linearization::Identity => {
            (Columns::Unchanged, Structure::Diagonal, 0)
        }
        Linearization::Diagonal if problem.structure() != Structure::Diagonal => {
            (Columns::Diagonal(graph.with_diagonal()), Structure::Diagonal, 1)
        }
        Linearization::Diagonal | Linearization::Full => {
            let structure = problem.structure();
            (Columns::Tangents(graph.forward_in_state()), structure, structure.block_size(n))
        }
    };
    // The offset is one more.
    let together = match made {
        Columns::Diagonal(_) => 2,
        _ => (ROOM / n.max(1)).saturating_sub(1).clamp(1, 4).min(columns + 1),
    };
    let step = Step::new(precision::<D::Real>(), graph.clone(), made, together, structure);
    let text = splice(&only(SWEEPS, &["linearize", "replay"]), &step)?;
    Ok(Made { text, together, columns })
}

/// The graph of the steps of `problem`, if they can run in a thread.
fn checked_graph<'p, D: Recurrence>(problem: &'p Problem<'_, D>) -> Result<&'p Graph> {
    if problem.dynamics().unknown_dim() > 0 {
        return Err(Error::setting(
            "backend",
            "one that runs steps defined by an equation, such as `Cpu`",
            "`Cuda`, which runs explicit steps",
        ));
    }
    let n = problem.state_dim();
    if n > LARGEST_STATE {
        return Err(Error::setting(
            "problem: state_dim",
            format!(
                "at most {LARGEST_STATE} on `Cuda`, whose threads hold a state in registers (use `Cpu`)"
            ),
            n,
        ));
    }
    problem.graph()
}

/// Those kernels of a module that are named, and what comes before the first kernel.
fn only(text: &str, kernels: &[&str]) -> String {
    let mut parts = text.split(".visible .entry ");
    let mut chosen = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if kernels.iter().any(|kernel| part.starts_with(&format!("{kernel}("))) {
            chosen.push_str(".visible .entry ");
            chosen.push_str(part);
        }
    }
    chosen
}

impl Module {
    /// Launches a kernel.
    ///
    /// # Safety
    /// As for [`Program::launch`].
    pub(super) unsafe fn launch(
        &self,
        kernel: &str,
        grid: Grid,
        arguments: &Arguments,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.program.launch(kernel, grid, arguments) }
    }
}

impl Kernels {
    /// Launches a kernel with θ = `params`, and with a tangent of θ where the kernel has one.
    ///
    /// # Safety
    /// As for [`Program::launch`].
    pub(super) unsafe fn launch<R: Real>(
        &self,
        kernel: &str,
        grid: Grid,
        arguments: &Arguments,
        params: &[R],
        tangents: Option<&[R]>,
    ) -> Result<()> {
        // Held until the launch is in the stream, so that no other call's θ comes between.
        let mut known = self.module.params.lock().unwrap_or_else(PoisonError::into_inner);
        let bits: Vec<u64> = params.iter().map(|p| p.to_f64().to_bits()).collect();
        if known.as_ref() != Some(&bits) {
            self.module.program.set(PARAMS, Number::wrap(params))?;
            *known = Some(bits);
        }
        if let Some(tangents) = tangents {
            self.module.program.set(TANGENTS, Number::wrap(tangents))?;
        }
        // SAFETY: the caller's promise.
        unsafe { self.module.program.launch(kernel, grid, arguments) }
    }
}
