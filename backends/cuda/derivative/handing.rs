//! What blocks hand over to each other between two sweeps, on the device.

use super::super::Cuda;
use super::super::driver::{Arguments, Buffer, Grid, Number};
use super::super::kernels::{THREADS, suffix};
use super::track::{CudaTrack, Sums, Told, Which};
use crate::backend::{Begun, Block, Borders, Direction, Swept, sweeps_until_lost};
use crate::error::Result;
use crate::scalar::Real;

/// Times that blocks hand over before the host does it.
const HANDINGS: usize = 24;
/// Blocks of threads that sum what a sweep came to.
const SHARES: usize = 64;

/// What the host reads: how large derivatives are, and what the first sweep came to.
#[derive(Debug)]
pub(super) struct Report {
    /// The size of the largest tile; the largest number handed over, each time; and sums of [`Swept`]. All zero at first.
    words: Buffer,
    /// What left each sequence at its end, `[B, n]`; zero at first.
    left_over: Buffer,
}

/// What it says.
struct Said {
    largest_size: f64,
    handed: [f64; HANDINGS],
    swept: Swept,
}

impl Report {
    const WORDS: usize = 1 + HANDINGS + 2 * SHARES;

    /// With so many bytes for what leaves sequences.
    pub(super) fn new(cuda: &Cuda, left_over: usize) -> Result<Self> {
        let zeros = |bytes: usize| {
            let mut buffer = cuda.device.allocate(bytes)?;
            buffer.clear(0, bytes)?;
            Ok(buffer)
        };
        Ok(Self { words: zeros(8 * Self::WORDS)?, left_over: zeros(left_over)? })
    }

    pub(super) fn largest_size(&self) -> u64 {
        self.words.address()
    }

    fn handed(&self, time: usize) -> u64 {
        self.words.address() + 8 * (1 + time) as u64
    }

    fn swept(&self) -> u64 {
        self.handed(HANDINGS)
    }

    fn read(&self) -> Result<Said> {
        let mut words = [0.0f64; Self::WORDS];
        self.words.read(0, &mut words)?;
        let mut handed = [0.0; HANDINGS];
        handed.copy_from_slice(&words[1..=HANDINGS]);
        let shares = words[1 + HANDINGS..].chunks_exact(2);
        let swept = shares.map(|share| Swept { difference: share[0], magnitude: share[1] }).sum();
        Ok(Said { largest_size: words[0], handed, swept })
    }
}

impl Cuda {
    /// Sweeps over all `blocks` from `borders`, hands over, and sweeps again on what was handed over, while that takes few sweeps. The flag
    /// of `sweep` says whether it is the first.
    pub(super) fn settle<'b, R: Real>(
        &self,
        track: &CudaTrack<'_, R>,
        blocks: &'b [Block],
        direction: Direction,
        borders: Buffer,
        mut sweep: impl FnMut(&Buffer, bool) -> Result<()>,
    ) -> Result<Begun<'b, R>> {
        let (batch, n) = (track.path.steps.len(), track.path.n);
        let (mut from, mut to) =
            (borders, self.device.allocate(blocks.len() * n * size_of::<R>())?);
        let mut pending = vec![R::default(); blocks.len() * n];
        let mut left_over = vec![R::default(); batch * n];
        let (mut done, mut lasting) = (0, false);
        // A second sweep is all that most dynamics take; where each sequence is one block, nothing is handed over.
        let mut more = if blocks.iter().any(|block| block.start > 0) { 2 } else { 1 };
        let said = loop {
            for time in done..done + more {
                sweep(&from, time == 0)?;
                self.hand_over(track, direction, (&from, &to), time)?;
                std::mem::swap(&mut from, &mut to);
            }
            done += more;
            let said = track.sums()?.report.read()?;
            let now = said.handed[done - 1];
            if now == 0.0 {
                break said;
            }
            let before = said.handed[done.saturating_sub(2)];
            match sweeps_until_lost::<R>(before, now) {
                Some(sweeps) if done + sweeps.max(1) <= HANDINGS => more = sweeps.max(1),
                other => {
                    lasting = other.is_none();
                    from.read(0, Number::wrap_mut(&mut pending))?;
                    break said;
                }
            }
        };
        track.sums()?.report.left_over.read(0, Number::wrap_mut(&mut left_over))?;
        let borders = Borders { blocks, n, direction, pending, left_over, lasting };
        Ok(Begun { borders, swept: said.swept, finite: said.largest_size.is_finite() })
    }

    /// Gives what blocks hand over to their neighbours.
    fn hand_over<R: Real>(
        &self,
        track: &CudaTrack<'_, R>,
        direction: Direction,
        (from, to): (&Buffer, &Buffer),
        time: usize,
    ) -> Result<()> {
        let sums = track.sums()?;
        let (count, n) = (sums.blocks.len(), track.path.n);
        let arguments = Arguments::default()
            .buffer(&sums.listed)
            .word(count as u64)
            .word(n as u64)
            .word(track.path.max_steps as u64)
            .word(u64::from(direction == Direction::Backwards))
            .buffer(from)
            .buffer(to)
            .buffer(&sums.report.left_over)
            .word(sums.report.handed(time));
        let name = format!("hand_over_{}", suffix::<R>());
        let grid = Grid::over(count * n, THREADS, 1);
        // SAFETY: the arguments of the kernel; both arrays have a state for each block.
        unsafe { self.modules.handing()?.launch(&name, grid, &arguments) }
    }

    /// Keeps what a sweep has told of some of its blocks.
    pub(super) fn keep(&self, sums: &Sums, which: Which<'_>, told: &Told) -> Result<()> {
        const WARP: usize = 32;
        let module = self.modules.handing()?;
        if let Some((swept, shares)) = &told.swept {
            let arguments =
                Arguments::default().buffer(swept).word(*shares as u64).word(sums.report.swept());
            let blocks = [shares.div_ceil(THREADS).min(SHARES), 1];
            let grid = Grid { blocks, threads: THREADS, shared: 0 };
            // SAFETY: the arguments of the kernel; there is room for as many sums as blocks of threads.
            unsafe { module.launch("sum_swept", grid, &arguments) }?;
        }
        let Some(noted) = &told.noted else { return Ok(()) };
        let lanes = if told.parts < WARP { 1 } else { WARP };
        let arguments = Arguments::default()
            .word(sums.listed(which))
            .word(which.list())
            .word(which.count as u64)
            .word(sums.tiles as u64)
            .word(told.parts as u64)
            .word(lanes as u64)
            .buffer(noted)
            .word(which.of_blocks(&sums.sizes, sums.tiles * 8))
            .word(u64::from(told.swept.is_some()))
            .word(sums.report.largest_size());
        let grid = Grid::over(which.count * sums.tiles * lanes, THREADS, 1);
        // SAFETY: the arguments of the kernel; both arrays have as many tiles for each block.
        unsafe { module.launch("keep_sizes", grid, &arguments) }
    }
}
