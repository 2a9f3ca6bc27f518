//! The modules that a device has compiled.

use super::driver::{Arguments, Device, Grid, Number, Program};
use super::emit::{PARAMS, Precision, ReadFrom, TANGENTS};
use super::fault::Fault;
use super::gradients::{self, Layout};
use super::newton::Form;
use super::programs::{self, Made, ROLLING, SETTLING, linearizing, values};
use crate::dynamics::{Recurrence, Structure};
use crate::error::Result;
use crate::graph::adjoint::Adjoint;
use crate::graph::tangent::Tangent;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::solver::Linearization;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// `ptx/borders.cu`.
const BORDERS: &str = include_str!("../../ptx/built/borders.ptx");
/// `ptx/derivatives.cu`.
const DERIVATIVES: &str = include_str!("../../ptx/built/derivatives.ptx");
/// `ptx/handing.cu`.
const HANDING: &str = include_str!("../../ptx/built/handing.ptx");
/// `ptx/products.cu`.
const PRODUCTS: &str = include_str!("../../ptx/built/products.ptx");
/// `ptx/states.cu`.
const STATES: &str = include_str!("../../ptx/built/states.ptx");
/// `ptx/look.cu`.
const LOOK: &str = include_str!("../../ptx/built/look.ptx");
/// `ptx/cells.cu`.
const CELLS: &str = include_str!("../../ptx/built/cells.ptx");
/// `ptx/cell_slopes.cu`.
const CELL_SLOPES: &str = include_str!("../../ptx/built/cell_slopes.ptx");
/// `ptx/cell_pull.cu`.
const CELL_PULL: &str = include_str!("../../ptx/built/cell_pull.ptx");
/// `ptx/wide_cells.cu`.
const WIDE_CELLS: &str = include_str!("../../ptx/built/wide_cells.ptx");
/// `ptx/scan_components.cu`.
const SCAN_COMPONENTS: &str = include_str!("../../ptx/built/scan_components.ptx");
/// `ptx/scan_blocks.cu`.
const SCAN_BLOCKS: &str = include_str!("../../ptx/built/scan_blocks.ptx");

/// Threads of a block: as `__launch_bounds__` of the kernels says.
pub(super) const THREADS: usize = 128;
/// Bytes in local memory from which on another form of a kernel is tried.
const SPILLED: usize = 64;
/// Graphs that are remembered.
const MOST_GRAPHS: usize = 256;
/// Modules that are kept, unless more are in use: room for 32 kinds of parts in each of six kinds of kernels, and for those that all
/// recurrences share.
const MOST_MODULES: usize = 256;

/// All modules, by their text.
#[derive(Debug)]
pub(super) struct Modules {
    device: Arc<Device>,
    known: Mutex<HashMap<String, Arc<Module>>>,
    /// Times that a module was asked for.
    asked: AtomicU64,
    /// What was made of a graph lately, so that its text need not be made again.
    lately: Mutex<HashMap<Origin, Recalled>>,
    /// The structure of large problems.
    structures: Mutex<HashMap<u64, Structure>>,
}

/// Parts of the templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Rolling,
    Settling,
    Linearizing(Linearization),
    Newton(Linearization),
    Pulling,
    /// With tangents of all, or of the state alone.
    Pushing(bool),
}

/// What kernels are made from: a graph, or the user's own text for it.
type Origin = (u64, Kind, Option<Arc<str>>);

/// Kernels that do not keep their modules.
#[derive(Debug)]
struct Recalled {
    /// Without programs.
    kernels: Kernels,
    programs: Vec<(Weak<Module>, usize)>,
}

/// A module, and what θ in it is.
#[derive(Debug)]
pub(super) struct Module {
    program: Program,
    /// When it was asked for last, as [`Modules::asked`] counts.
    asked: AtomicU64,
    /// The bits of θ that were set last.
    params: Mutex<Option<Vec<u64>>>,
}

/// A part of a template for one recurrence.
#[derive(Clone, Debug)]
pub(super) struct Kernels {
    programs: Arc<[Compiled]>,
    /// Entries of θ after its own.
    constants: Arc<[f64]>,
    /// Columns of a derivative in one thread.
    pub(super) together: usize,
    /// Columns of a chunk's map.
    pub(super) columns: usize,
    /// What a backward sweep leaves where.
    pub(super) layout: Arc<Layout>,
}

/// A program for those parts of a state that are alike.
#[derive(Clone, Debug)]
struct Compiled {
    module: Arc<Module>,
    parts: usize,
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
        Self {
            device: Arc::clone(device),
            known: Mutex::default(),
            asked: AtomicU64::new(0),
            lately: Mutex::default(),
            structures: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Module>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The structure of the Jacobians of `problem`, whatever its size, in blocks of one size.
    pub(super) fn structure<D: Recurrence>(&self, problem: &Problem<'_, D>) -> Structure {
        if problem.state_dim() <= programs::LOOKED_AT {
            return programs::structure(problem);
        }
        let known = || self.structures.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = problem.graph_identity();
        if let Some(&structure) = known().get(&identity) {
            return structure;
        }
        let structure = programs::structure(problem);
        let mut known = known();
        if known.len() >= MOST_GRAPHS {
            known.clear();
        }
        known.insert(identity, structure);
        structure
    }

    fn module(&self, text: String) -> Result<Arc<Module>> {
        if let Some(module) = self.known().get(&text) {
            self.note(module);
            return Ok(Arc::clone(module));
        }
        // Not under the lock: the driver may take seconds.
        let program = self.device.compile(&text)?;
        let module = Module { program, asked: AtomicU64::new(0), params: Mutex::new(None) };
        let mut known = self.known();
        let module = Arc::clone(known.entry(text).or_insert_with(|| Arc::new(module)));
        self.note(&module);
        let unused = surplus(&mut known);
        // Nor is this, which waits for the device.
        drop(known);
        drop(unused);
        Ok(module)
    }

    /// Notes that a module was asked for.
    fn note(&self, module: &Module) {
        module.asked.store(self.asked.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Modules that are compiled now.
    pub(super) fn count(&self) -> usize {
        self.known().len()
    }

    /// What moves states about.
    pub(super) fn states(&self) -> Result<Arc<Module>> {
        self.module(STATES.to_owned())
    }

    /// What compares states at borders.
    pub(super) fn look(&self) -> Result<Arc<Module>> {
        self.module(LOOK.to_owned())
    }

    /// What moves the borders of chunks.
    pub(super) fn borders(&self) -> Result<Arc<Module>> {
        self.module(BORDERS.to_owned())
    }

    /// What hands derivatives over.
    pub(super) fn handing(&self) -> Result<Arc<Module>> {
        self.module(HANDING.to_owned())
    }

    /// What sums products of factors, and what parts give.
    pub(super) fn products(&self) -> Result<Arc<Module>> {
        self.module(PRODUCTS.to_owned())
    }

    /// A kernel of a cell.
    pub(super) fn cell(&self, kernel: &str) -> Result<Arc<Module>> {
        let text = match kernel {
            _ if kernel.starts_with("run_wide_") => WIDE_CELLS,
            _ if kernel.starts_with("run_") => CELLS,
            _ if kernel.starts_with("slopes_") => CELL_SLOPES,
            _ => CELL_PULL,
        };
        self.module(only(text, &[kernel]))
    }

    /// One scan of maps whose components do not mix.
    pub(super) fn scan_components(&self, kernel: &str) -> Result<Arc<Module>> {
        self.module(only(SCAN_COMPONENTS, &[kernel]))
    }

    /// One scan of maps of blocks, or its reduction.
    pub(super) fn scan_blocks(&self, kernel: &str) -> Result<Arc<Module>> {
        self.module(only(SCAN_BLOCKS, &[kernel]))
    }

    /// What `make` makes of the graph `identity`, or of the user's `text` for it, or has made lately.
    fn kernels(
        &self,
        (identity, kind): (u64, Kind),
        text: Option<&Arc<str>>,
        make: impl Fn(ReadFrom) -> Result<Made>,
    ) -> Result<Kernels> {
        let lately = || self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = (identity, kind, text.cloned());
        if let Some(kernels) = lately().get(&origin).and_then(|recalled| self.recall(recalled)) {
            return Ok(kernels);
        }
        let made = make(ReadFrom::Constant)?;
        let (names, constant) = (made.kernels(), made.constant);
        let mut kernels = self.compiled(made)?;
        let local = if constant > 0 { kernels.local_bytes(&names)? } else { 0 };
        // Each number there is written and read; in the other form each of θ is read at every use.
        if local >= SPILLED && 2 * local > constant {
            match make(ReadFrom::Shared).and_then(|made| self.compiled(made)) {
                Ok(near) if near.local_bytes(&names)? < local => kernels = near,
                Ok(_) => {}
                // There may be no room for it in shared memory.
                Err(error) if Fault::is_refusal(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut lately = lately();
        if lately.len() >= MOST_GRAPHS {
            lately.clear();
        }
        lately.insert(origin, Recalled::of(&kernels));
        Ok(kernels)
    }

    /// The kernels again, if their modules are there still.
    fn recall(&self, Recalled { kernels, programs }: &Recalled) -> Option<Kernels> {
        let again = |(module, parts): &(Weak<Module>, usize)| {
            let module = module.upgrade()?;
            self.note(&module);
            Some(Compiled { module, parts: *parts })
        };
        let programs = programs.iter().map(again).collect::<Option<_>>()?;
        Some(Kernels { programs, ..kernels.clone() })
    }

    fn compiled(&self, made: Made) -> Result<Kernels> {
        let Made { programs, constants, together, columns, layout, .. } = made;
        let compiled = |(text, parts)| Ok(Compiled { module: self.module(text)?, parts });
        let programs = programs.into_iter().map(compiled).collect::<Result<_>>()?;
        Ok(Kernels {
            programs,
            constants: constants.into(),
            together,
            columns,
            layout: layout.into(),
        })
    }

    /// The kernel that runs backwards.
    pub(super) fn pulling<R: Real>(&self, adjoint: &Adjoint) -> Result<Kernels> {
        self.kernels((adjoint.identity, Kind::Pulling), None, |from| {
            gradients::pulling::<R>(adjoint, from)
        })
    }

    /// The kernel that runs forwards: with tangents of `all`, or of the state alone.
    pub(super) fn pushing<R: Real>(&self, tangent: &Tangent, all: bool) -> Result<Kernels> {
        let origin = (tangent.identity, Kind::Pushing(all));
        self.kernels(origin, None, |from| gradients::pushing::<R>(tangent, all, from))
    }

    /// The kernel that rolls the steps of `problem`, or those that the user's `text` makes.
    pub(super) fn rolling<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        text: Option<&Arc<str>>,
    ) -> Result<Kernels> {
        self.of_values(problem, text, Kind::Rolling, &ROLLING)
    }

    /// The kernels of block Jacobi.
    pub(super) fn settling<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        text: Option<&Arc<str>>,
    ) -> Result<Kernels> {
        self.of_values(problem, text, Kind::Settling, &SETTLING)
    }

    fn of_values<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        text: Option<&Arc<str>>,
        kind: Kind,
        kernels: &[&str],
    ) -> Result<Kernels> {
        let structure = self.structure(problem);
        self.kernels((problem.graph_identity(), kind), text, |from| {
            values(problem, structure, text.map(|text| &**text), kernels, from)
        })
    }

    /// The kernels that linearise them.
    pub(super) fn linearizing<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        linearization: Linearization,
    ) -> Result<Kernels> {
        let kind = Kind::Linearizing(linearization);
        let structure = self.structure(problem);
        self.kernels((problem.graph_identity(), kind), None, |from| {
            linearizing(problem, structure, linearization, from)
        })
    }

    /// The kernel that does a sweep of Newton's method in one launch, if there is one for the steps of `problem`.
    pub(super) fn newton<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        linearization: Linearization,
    ) -> Result<Option<(Form, Kernels)>> {
        let structure = self.structure(problem);
        let Some(form) = Form::of(problem.state_dim(), structure, linearization) else {
            return Ok(None);
        };
        let origin = (problem.graph_identity(), Kind::Newton(linearization));
        let kernels = self.kernels(origin, None, |from| {
            programs::newton(problem, structure, linearization, form, from)
        })?;
        Ok((kernels.kinds() > 0).then_some((form, kernels)))
    }
}

/// Takes out modules beyond [`MOST_MODULES`] that nobody uses, those asked for least recently first.
fn surplus(known: &mut HashMap<String, Arc<Module>>) -> Vec<Arc<Module>> {
    let excess = known.len().saturating_sub(MOST_MODULES);
    let asked = |module: &Module| module.asked.load(Ordering::Relaxed);
    let is_unused = |module: &Arc<Module>| Arc::strong_count(module) == 1;
    let mut unused: Vec<u64> =
        known.values().filter(|module| is_unused(module)).map(|module| asked(module)).collect();
    unused.sort_unstable();
    unused.truncate(excess);
    let Some(&last) = unused.last() else { return Vec::new() };
    known
        .extract_if(|_, module| is_unused(module) && asked(module) <= last)
        .map(|(_, module)| module)
        .collect()
}

/// A template of `ptx/derivatives.cu`.
pub(super) fn derivatives(kernel: &str) -> String {
    only(DERIVATIVES, &[kernel])
}

/// Those kernels of a module that are named, and what comes before the first kernel.
pub(super) fn only(text: &str, kernels: &[&str]) -> String {
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

impl Recalled {
    fn of(kernels: &Kernels) -> Self {
        let program = |program: &Compiled| (Arc::downgrade(&program.module), program.parts);
        let programs = kernels.programs.iter().map(program).collect();
        Self { kernels: Kernels { programs: [].into(), ..kernels.clone() }, programs }
    }
}

impl Kernels {
    /// Parts that a state is shared out in.
    pub(super) fn parts(&self) -> usize {
        self.programs.iter().map(|program| program.parts).sum()
    }

    /// The most local memory that a thread of one of these kernels needs.
    fn local_bytes(&self, kernels: &[String]) -> Result<usize> {
        let mut most = 0;
        for Compiled { module, .. } in &*self.programs {
            for kernel in kernels {
                most = most.max(module.program.local_bytes(kernel)?);
            }
        }
        Ok(most)
    }

    /// Kinds of parts, each with a program of its own.
    pub(super) fn kinds(&self) -> usize {
        self.programs.len()
    }

    /// Launches a kernel on `count` blocks of time in `rows` rows, with θ = `params`, and with a tangent of θ where the
    /// kernel has one.
    ///
    /// # Safety
    /// As for [`Program::launch`].
    pub(super) unsafe fn launch<R: Real>(
        &self,
        kernel: &str,
        (count, rows): (usize, usize),
        arguments: &Arguments,
        params: &[R],
        tangents: Option<&[R]>,
    ) -> Result<()> {
        let launch = |_, parts| (Grid::over(count * parts, THREADS, rows), arguments.clone());
        // SAFETY: the caller's promise.
        unsafe { self.launch_each(kernel, launch, params, tangents) }
    }

    /// Launches a kernel for each kind of parts on what `launch` gives for its number and how many parts it has.
    ///
    /// # Safety
    /// As for [`Program::launch`].
    pub(super) unsafe fn launch_each<R: Real>(
        &self,
        kernel: &str,
        launch: impl Fn(usize, usize) -> (Grid, Arguments),
        params: &[R],
        tangents: Option<&[R]>,
    ) -> Result<()> {
        let constants = self.constants.iter().map(|&x| R::from_f64(x));
        let theta: Vec<R> = params.iter().copied().chain(constants).collect();
        let bits: Vec<u64> = theta.iter().map(|p| p.to_f64().to_bits()).collect();
        for (kind, Compiled { module, parts }) in self.programs.iter().enumerate() {
            // Held until the launch is in the stream, so that no other call's θ comes between.
            let mut known = module.params.lock().unwrap_or_else(PoisonError::into_inner);
            if known.as_ref() != Some(&bits) {
                module.program.set(PARAMS, Number::wrap(&theta))?;
                *known = Some(bits.clone());
            }
            if let Some(tangents) = tangents {
                let zeros = self.constants.iter().map(|_| R::default());
                let tangents: Vec<R> = tangents.iter().copied().chain(zeros).collect();
                module.program.set(TANGENTS, Number::wrap(&tangents))?;
            }
            let (grid, arguments) = launch(kind, *parts);
            // SAFETY: the caller's promise.
            unsafe { module.program.launch(kernel, grid, &arguments) }?;
        }
        Ok(())
    }
}
