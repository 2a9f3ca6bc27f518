//! Newton's sweeps in one launch each: `ptx/newton.cu`.

use super::Cuda;
use super::chunks::Chunks;
use super::driver::{Buffer, Grid};
use super::kernels::{Kernels, suffix};
use super::programs::parts_of;
use super::trajectory::CudaTrajectory;
use crate::backend::{Block, LinearizeSettings, Linearized};
use crate::dynamics::{Recurrence, Structure};
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::solver::Linearization;

/// One of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A thread for each chunk, whose map is diagonal.
    Diagonal { n: usize },
    /// Some threads for each chunk, whose map is dense.
    Dense { n: usize },
    /// As many for each part of a chunk. A part has `size` components, and none depends on another.
    Parts { size: usize },
}

impl Form {
    /// Components of the largest state or part whose map is dense.
    const LARGEST: usize = 32;
    /// Components of the largest state that a thread has whole.
    const WHOLE: usize = 16;

    /// The kernel for states of `n` components whose Jacobians have that structure, if there is one.
    pub(super) fn of(n: usize, structure: Structure, linearization: Linearization) -> Option<Self> {
        let size = structure.block_size(n);
        match linearization {
            Linearization::Zero | Linearization::Identity => None,
            _ if n == 0 => None,
            _ if size == 1 && parts_of(n, structure) > 1 => Some(Form::Parts { size }),
            Linearization::Full if size > 1 => {
                let form = if size < n { Form::Parts { size } } else { Form::Dense { n } };
                (size <= Self::LARGEST).then_some(form)
            }
            Linearization::Full | Linearization::Diagonal => {
                (n <= Self::WHOLE).then_some(Form::Diagonal { n })
            }
        }
    }

    /// Components of a thread's state.
    pub(super) fn components(self) -> usize {
        match self {
            Form::Diagonal { n } | Form::Dense { n } | Form::Parts { size: n } => n,
        }
    }

    /// Components that the kernel has room for in a thread's state.
    fn room(self) -> usize {
        match self {
            Form::Diagonal { n } => n.next_power_of_two(),
            Form::Dense { n } | Form::Parts { size: n } if n <= 8 => n,
            Form::Dense { n } | Form::Parts { size: n } => {
                [12, 16, 24].into_iter().find(|&room| n <= room).unwrap_or(Self::LARGEST)
            }
        }
    }

    /// Numbers in a row of a map.
    pub(super) fn row(self) -> usize {
        match self {
            Form::Diagonal { .. } => 1,
            Form::Dense { .. } | Form::Parts { .. } => self.room(),
        }
    }

    /// Columns of a map in one thread: as many as ptxas holds in registers.
    pub(super) fn together<R: Real>(self) -> usize {
        match (self.row(), R::SINGLE) {
            (row @ ..=3, _) | (row @ 4, true) => row + 1,
            (..=8, _) => 3,
            (..=12, true) => 2,
            _ => 1,
        }
    }

    pub(super) fn kernel<R: Real>(self) -> String {
        let (room, precision) = (self.room(), suffix::<R>());
        match self {
            Form::Diagonal { .. } => format!("newton_diagonal_{room}_{precision}"),
            Form::Parts { size: ..=4 } => format!("newton_parts_{room}_{precision}"),
            // One at a time.
            Form::Dense { .. } | Form::Parts { .. } => format!("newton_dense_{room}_{precision}"),
        }
    }

    /// Parts that are swept beside each other.
    fn lanes(self) -> usize {
        match self {
            Form::Parts { size: 1 } => 8,
            Form::Parts { size: 2 | 3 } => 4,
            Form::Parts { size: 4 } => 2,
            Form::Diagonal { .. } | Form::Dense { .. } | Form::Parts { .. } => 1,
        }
    }

    /// Chunks of a tile.
    fn rows(self) -> usize {
        match (self, self.room()) {
            (Form::Diagonal { .. }, ..=4) | (Form::Dense { .. }, ..=3) => 128,
            (Form::Diagonal { .. }, 8) | (Form::Dense { .. }, 4) => 64,
            (Form::Diagonal { .. }, _) | (_, ..=8) => 32,
            (_, ..=12) => 16,
            (_, ..=16) => 8,
            (_, ..=24) => 4,
            _ => 2,
        }
    }

    /// Tiles in a group.
    fn group(self) -> usize {
        if self.row() > 8 { 16 } else { 32 }
    }

    /// Components of a tile's map.
    fn width(self) -> usize {
        self.room() * self.lanes()
    }

    /// Numbers that a tile publishes.
    fn published(self) -> usize {
        self.width() * (self.row() + 3)
    }

    /// Tiles beside each other, where `parts` are swept.
    fn across(self, parts: usize) -> usize {
        parts.div_ceil(self.lanes())
    }

    /// Threads of a block, for so many columns.
    fn threads<R: Real>(self, columns: usize) -> usize {
        self.rows() * self.lanes() * columns.div_ceil(self.together::<R>())
    }
}

/// The states before the chunks of all sequences, on the device, and what tiles publish of their maps.
#[derive(Debug)]
pub struct FusedSweeps<R> {
    form: Form,
    kernels: Kernels,
    chunks: Chunks<R>,
    /// `[chunks, n]` each: before the chunks in the last sweep, in the next one, and room for those of the one after it.
    starts: [Buffer; 3],
    /// Whether `starts` are known.
    begun: bool,
    /// Steps of a block and factor of the last sweep, whose changes are to be replayed.
    last: Option<(usize, f64)>,
    totals: Buffer,
    prefixes: Buffer,
    /// Of tiles, of their groups, and a counter.
    flags: Buffer,
    tiles: usize,
    /// Launches so far.
    launches: u32,
}

impl<R: Real> FusedSweeps<R> {
    /// Sweeps over `chunks`, if there are kernels for them.
    pub(super) fn new<D: Recurrence<Real = R>>(
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        chunks: &[Block],
        settings: &LinearizeSettings,
    ) -> Result<Option<Self>> {
        let n = problem.state_dim();
        let Some((form, kernels)) = cuda.modules.newton(problem, settings.linearization)? else {
            return Ok(None);
        };
        let device = &cuda.device;
        let numbers = |count: usize| device.allocate(count * size_of::<R>());
        let states = || numbers(chunks.len() * n);
        let tiles = chunks.len().div_ceil(form.rows()) * form.across(kernels.parts());
        let groups = tiles.div_ceil(form.group()) + form.across(kernels.parts());
        let mut flags = device.allocate((tiles + groups + 1) * size_of::<u32>())?;
        flags.clear(0, (tiles + groups + 1) * size_of::<u32>())?;
        Ok(Some(Self {
            form,
            starts: [states()?, states()?, states()?],
            begun: false,
            last: None,
            totals: numbers(tiles * form.published())?,
            prefixes: numbers(groups * 2 * form.width())?,
            flags,
            tiles,
            launches: 0,
            chunks: Chunks::new(cuda, problem, trajectory, chunks)?,
            kernels,
        }))
    }

    pub(super) fn chunks(&self) -> &Chunks<R> {
        &self.chunks
    }

    /// Takes the states before the chunks from the trajectory.
    fn begin(&mut self, cuda: &Cuda, trajectory: &CudaTrajectory<R>) -> Result<()> {
        let count = self.chunks.all.len();
        let indices: Vec<u32> = (0..count as u32).collect();
        let indices = cuda.device.upload(&indices)?;
        self.chunks.load_starts(cuda, trajectory, &indices, count, &self.starts[1])?;
        self.begun = true;
        Ok(())
    }

    /// Replays what the last sweep changed, linearises the chunks `active`, and finds where their maps take the starts of the chunks:
    /// those of each sequence up to its first chunk with a residual stay.
    pub(super) fn sweep<D: Recurrence<Real = R>>(
        &mut self,
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        active: &[usize],
        settings: &LinearizeSettings,
    ) -> Result<Vec<Linearized>> {
        if !self.begun {
            self.begin(cuda, trajectory)?;
        }
        let all = active.len() == self.chunks.all.len();
        let indices: Vec<u32> = active.iter().map(|&i| i as u32).collect();
        let indices = if all { None } else { Some(cuda.device.upload(&indices)?) };
        let columns = self.kernels.columns;
        let threads =
            self.form.threads::<R>(columns + usize::from(self.chunks.longer_than(settings.block)));
        let replayed = self.last.filter(|&(block, _)| self.chunks.longer_than(block));
        let (last_block, last_factor) = replayed.unwrap_or_default();
        let address = |buffer: Option<&Buffer>| buffer.map_or(0, Buffer::address);
        let shared = self.kernels.parts() > 1;
        if shared {
            self.chunks.clear_results()?;
        }
        let [old, starts, fresh] = &self.starts;
        let kernel = self.form.kernel::<R>();
        let launch = |kind: usize, parts: usize| {
            let across = self.form.across(parts);
            let tiles = active.len().div_ceil(self.form.rows()) * across;
            let flag = |number: usize| self.flags.address() + (number * size_of::<u32>()) as u64;
            let groups = flag(self.tiles);
            let counter = flag(self.flags.len() / size_of::<u32>() - 1);
            let sweep = self.launches.wrapping_add(1 + kind as u32);
            let arguments =
                trajectory.arguments(trajectory.states(), Some(settings.tolerance)).structure(&[
                    self.chunks.listed.address(),
                    address(indices.as_ref()),
                    active.len() as u64,
                    address(replayed.and(Some(old))),
                    starts.address(),
                    fresh.address(),
                    self.chunks.ends.address(),
                    self.chunks.results.address(),
                    last_block as u64,
                    last_factor.to_bits(),
                    settings.block as u64,
                    settings.factor.to_bits(),
                    columns as u64,
                    self.form.components() as u64,
                    parts as u64,
                    u64::from(shared),
                    self.totals.address(),
                    self.prefixes.address(),
                    flag(0),
                    groups,
                    counter,
                    u64::from(sweep),
                ]);
            (Grid { blocks: [tiles, 1], threads, shared: 0 }, arguments)
        };
        // SAFETY: the arguments of the kernel; chunks are within the trajectory, there is room for the states of all chunks and for all
        // tiles and groups, and no flag has the number of this launch.
        unsafe { self.kernels.launch_each(&kernel, launch, problem.params(), None) }?;
        self.launches = self.launches.wrapping_add(self.kernels.kinds() as u32);
        self.chunks.read_results(active)
    }

    /// Accepts where the last sweep took the starts; which of them stay it has found by the same rule as the solver.
    pub(super) fn update(&mut self, settings: &LinearizeSettings) {
        self.starts.rotate_left(1);
        self.last = Some((settings.block, settings.factor));
    }
}
