//! The automatic choice.

use super::run::Run;
use super::{Linearization, Method, blocks, jacobi, newton};
use crate::backend::Sweep;
use crate::dynamics::{Recurrence, Structure};
use crate::error::Result;

/// Below this many steps in all nothing beats the loop.
const SHORT: usize = 256;
/// A block is to be this many times as long as the dynamics remember, where the trajectory allows.
const BLOCK_PER_MEMORY: usize = 8;
/// Groups of lanes that sequences fill without being cut.
const FULL_GROUPS: usize = 8;
/// Share of the loop's steps that a pilot may take.
const PILOT_SHARE: usize = 32;

/// Chooses by the shape of the problem and a pilot.
pub(super) fn solve<D: Recurrence, B: Sweep<D>>(run: &mut Run<'_, '_, D, B>) -> Result<()> {
    let problem = run.problem;
    let (total, width) = (problem.total_steps(), run.backend.width());
    if let Some(block) = run.settings.block {
        "block length given".clone_into(&mut run.reason);
        return jacobi::solve(run, block, true);
    }
    if total < SHORT {
        return in_order(run, format!("{total} steps are too few to share out"));
    }
    if problem.batch_size() >= FULL_GROUPS * width {
        return in_order(run, format!("{} sequences fill the lanes", problem.batch_size()));
    }
    let probe = run.backend.probe(problem, (total / PILOT_SHARE).clamp(32, 4096), run.tolerance)?;
    let longest_block = blocks::length_for(problem, 1, width);
    if let Some(memory) = probe.merged_after {
        // Each block is rolled once and then for as long as the memory lasts: at most twice the loop's steps, in
        // lanes.
        if memory <= longest_block {
            let groups = blocks::groups_for(total, width, (BLOCK_PER_MEMORY * memory).max(128));
            run.reason = format!("trajectories meet within {memory} steps");
            return jacobi::solve(run, blocks::length_for(problem, groups, width), true);
        }
    }
    if newton_pays(run, probe.growth, longest_block) {
        run.reason = format!("distances change by {:.4} a step", probe.growth);
        return newton::solve(run, Linearization::Full, None, true);
    }
    in_order(
        run,
        match probe.merged_after {
            Some(memory) => {
                format!("trajectories meet within {memory} steps, too late for the length")
            }
            None => format!(
                "trajectories had not met after {} steps, growth {:.4} a step",
                probe.steps, probe.growth
            ),
        },
    )
}

/// Whether Newton on blocks can be expected to beat the loop: few components to differentiate, and
/// no growth over a block that would spoil the linear prediction.
fn newton_pays<D: Recurrence, B: Sweep<D>>(
    run: &Run<'_, '_, D, B>,
    growth: f64,
    block: usize,
) -> bool {
    let n = run.problem.state_dim();
    let tangents = match run.backend.structure(run.problem) {
        Structure::Dense => n,
        structure => structure.block_size(n),
    };
    let log_growth = growth.ln() * block as f64;
    tangents <= 4 && block >= 32 && log_growth.is_finite() && log_growth < 2.0
}

fn in_order<D: Recurrence, B: Sweep<D>>(run: &mut Run<'_, '_, D, B>, reason: String) -> Result<()> {
    run.method = Method::Sequential;
    run.reason = reason;
    run.in_order()
}
