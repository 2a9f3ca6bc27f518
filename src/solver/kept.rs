//! The maps of a Newton iteration: the backend's, or made on the host.

use super::maps::Maps;
use super::run::Run;
use crate::backend::{Block, LinearizeSettings, Linearized};
use crate::error::Result;
use crate::scalar::Real;
use std::ops::Range;

/// The maps of all chunks.
pub(super) struct Kept<R> {
    place: Place<R>,
    /// The factor with which they were made.
    pub(super) scale: f64,
}

enum Place<R> {
    Host(Maps<R>),
    Backend,
}

impl<R: Real> Kept<R> {
    pub(super) fn new(
        run: &mut Run<'_, R>,
        settings: &LinearizeSettings,
        chunks: &[Block],
    ) -> Result<Self> {
        let place = match run.stages.keep_maps(chunks, settings)? {
            true => Place::Backend,
            false => Place::Host(Maps::of(run, settings.linearization, settings, chunks.len())),
        };
        Ok(Self { place, scale: settings.factor })
    }

    /// Linearises the chunks `active`.
    pub(super) fn linearize(
        &mut self,
        run: &mut Run<'_, R>,
        chunks: &[Block],
        active: &[usize],
        settings: &LinearizeSettings,
    ) -> Result<Vec<Linearized>> {
        let maps = match &mut self.place {
            Place::Host(maps) => maps,
            Place::Backend => return run.stages.linearize_kept(active, settings),
        };
        let n = run.problem().state_dim();
        let chosen: Vec<Block> = active.iter().map(|&i| chunks[i]).collect();
        let mut starts = vec![R::default(); chosen.len() * n];
        let mut ends = starts.clone();
        let mut matrices = vec![R::default(); chosen.len() * maps.entries];
        let linearized =
            run.stages.linearize(&chosen, settings, &mut starts, &mut ends, &mut matrices)?;
        for (k, &i) in active.iter().enumerate() {
            let states = i * n..(i + 1) * n;
            maps.starts[states.clone()].copy_from_slice(&starts[k * n..(k + 1) * n]);
            maps.ends[states].copy_from_slice(&ends[k * n..(k + 1) * n]);
            maps.maps[i * maps.entries..(i + 1) * maps.entries]
                .copy_from_slice(&matrices[k * maps.entries..(k + 1) * maps.entries]);
        }
        Ok(linearized)
    }

    /// Moves the borders of the chunks in `ranges`, which are to be linearised again.
    ///
    /// A chunk of one block whose start has kept its bits would give the same again, but the residual at its end is measured
    /// against a border that has moved.
    pub(super) fn update(
        &mut self,
        run: &mut Run<'_, R>,
        chunks: &[Block],
        ranges: &[Range<usize>],
        settings: &LinearizeSettings,
    ) -> Result<()> {
        let maps = match &mut self.place {
            Place::Host(maps) => maps,
            Place::Backend => return run.stages.update_kept(ranges, settings),
        };
        maps.scale = settings.factor;
        let n = run.problem().state_dim();
        let mut chosen = Vec::new();
        let mut starts: Vec<R> = Vec::new();
        for range in ranges {
            let mut start = maps.starts[range.start * n..(range.start + 1) * n].to_vec();
            let mut end = start.clone();
            for i in range.clone() {
                chosen.push(chunks[i]);
                starts.extend_from_slice(&start);
                let blocks = chunks[i].len.div_ceil(settings.block);
                maps.apply(i, blocks, &start, &mut end);
                // A guess may have run off to infinity inside the chunk; a finite old start is then better.
                let last = i + 1 == range.end;
                if i > range.start && !last && !end.iter().all(|x| x.is_finite()) {
                    end.copy_from_slice(&maps.starts[(i + 1) * n..(i + 2) * n]);
                }
                std::mem::swap(&mut start, &mut end);
            }
        }
        if chosen.iter().any(|chunk| chunk.len > settings.block) {
            run.stages.replay(&chosen, settings, &starts)?;
        }
        run.stages.write_starts(&chosen, &starts)
    }

    /// A residual that can be of rounding alone.
    pub(super) fn rounding(&self, run: &Run<'_, R>) -> Result<f64> {
        const ROUNDINGS: f64 = 1024.0;
        let kept;
        let ends = match &self.place {
            Place::Host(maps) => &maps.ends,
            Place::Backend => {
                kept = run.stages.read_ends()?;
                &kept
            }
        };
        let sizes = ends.iter().map(|x| x.to_f64().abs()).filter(|x| x.is_finite());
        Ok(ROUNDINGS * R::EPSILON.to_f64() * sizes.fold(0.0, f64::max))
    }
}
