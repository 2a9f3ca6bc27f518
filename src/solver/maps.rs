//! The affine maps of chunks.

use super::Linearization;
use super::run::Run;
use crate::backend::LinearizeSettings;
use crate::dynamics::Structure;
use crate::scalar::Real;

/// The maps of all chunks, `x ↦ end + M (x − start)`.
pub(super) struct Maps<R> {
    /// `[chunks, n]`
    pub(super) starts: Vec<R>,
    /// `[chunks, n]`
    pub(super) ends: Vec<R>,
    /// `M` of each chunk in compact form.
    pub(super) maps: Vec<R>,
    pub(super) entries: usize,
    structure: Option<Structure>,
    /// The factor where `M` is a multiple of the identity.
    pub(super) scale: f64,
}

impl<R: Real> Maps<R> {
    /// Zeros for `chunks` of a solve.
    pub(super) fn of(
        run: &Run<'_, R>,
        linearization: Linearization,
        settings: &LinearizeSettings,
        chunks: usize,
    ) -> Self {
        let structure = match linearization {
            Linearization::Zero | Linearization::Identity => None,
            Linearization::Diagonal => Some(Structure::Diagonal),
            Linearization::Full => Some(run.stages.structure()),
        };
        Self::zeros(structure, settings.factor, chunks, run.problem().state_dim())
    }

    /// Zeros for `chunks` of `n` components; without a structure, `scale` times the identity for each block.
    pub(super) fn zeros(structure: Option<Structure>, scale: f64, chunks: usize, n: usize) -> Self {
        let entries = structure.map_or(0, |structure| structure.entries(n));
        let zero = R::from_f64(0.0);
        Self {
            starts: vec![zero; chunks * n],
            ends: vec![zero; chunks * n],
            maps: vec![zero; chunks * entries],
            entries,
            structure,
            scale,
        }
    }

    /// The end of `chunk`, of so many `blocks`, when it starts from `start`. A prediction that is not finite falls back to
    /// the end that was rolled (`M` = 0).
    pub(super) fn apply(&self, chunk: usize, blocks: usize, start: &[R], end: &mut [R]) {
        let n = start.len();
        let old = &self.starts[chunk * n..(chunk + 1) * n];
        end.copy_from_slice(&self.ends[chunk * n..(chunk + 1) * n]);
        self.add(chunk, blocks, |i| start[i] - old[i], end);
        if !end.iter().all(|x| x.is_finite()) {
            end.copy_from_slice(&self.ends[chunk * n..(chunk + 1) * n]);
        }
    }

    /// Adds to `end` `M` of `chunk`, of so many `blocks`, times `change`.
    pub(super) fn add(
        &self,
        chunk: usize,
        blocks: usize,
        change: impl Fn(usize) -> R,
        end: &mut [R],
    ) {
        let n = end.len();
        match self.structure {
            None => {
                let scale = R::from_f64(self.scale.powi(blocks as i32));
                for (i, end) in end.iter_mut().enumerate() {
                    *end += change(i) * scale;
                }
            }
            Some(structure) => {
                let map = &self.maps[chunk * self.entries..(chunk + 1) * self.entries];
                for place in 0..n {
                    let row = structure.row(n, place);
                    let mut sum = R::from_f64(0.0);
                    for (column, &coefficient) in map[row.entries()].iter().enumerate() {
                        sum += coefficient * change(structure.component_at(n, row.start + column));
                    }
                    end[structure.component_at(n, place)] += sum;
                }
            }
        }
    }
}
