//! The automatic choice.

use super::coarse::Coarse;
use super::jacobi::Unsettled;
use super::newton::{Ending, Outcome};
use super::run::Run;
use super::{Linearization, Method, blocks, coarse, elk, jacobi, newton, pilot};
use crate::error::Result;
use crate::scalar::Real;

/// Below this many steps in all nothing beats the loop.
const SHORT: usize = 256;
/// No block need be shorter than this, however soon the dynamics forget.
const SHORTEST_BLOCK: usize = 128;
/// Share of the loop's cost that a pilot may take.
const PILOT_SHARE: f64 = 0.05;
/// A pilot shorter than this tells nothing.
const SHORTEST_PILOT: usize = 32;
const LONGEST_PILOT: usize = 4096;
/// Newton is tried where it is expected to cost no more than this share of the loop: it may fail.
const NEWTON_SHARE: f64 = 0.5;
/// Cost of a tangent, in steps without one.
pub(super) const TANGENT: f64 = 1.5;
/// ELK's first λ.
const LAMBDA: f64 = 1.0;

/// Chooses by the shape of the problem, the cost of a step and a pilot.
pub(super) fn solve<R: Real>(run: &mut Run<'_, R>) -> Result<()> {
    let (total, width) = (run.problem().total_steps(), run.stages.width());
    if let Some(block) = run.settings.block {
        "block length given".clone_into(&mut run.reason);
        return jacobi::solve(run, block, None, Unsettled::RunInOrder);
    }
    if total < SHORT {
        return in_order(run, format!("{total} steps are too few to share out"));
    }
    let sequences = run.problem().batch_size();
    if sequences >= run.stages.full() {
        return in_order(run, format!("{sequences} sequences fill the lanes"));
    }
    let cost = run.stages.cost();
    let gain = cost.in_order / cost.in_blocks;
    if gain <= 1.0 {
        return in_order(run, format!("blocks would cost {:.1} times the loop", 1.0 / gain));
    }
    if by_shooting(run, gain, cost.in_order)? {
        return Ok(());
    }
    // Two sweeps that cost no more than a pilot might tell more, and perhaps that nothing is left to do.
    let block = run.block_of(SHORTEST_BLOCK);
    let allowed = run.sweep_limit(block) > 2;
    if 2.0 < PILOT_SHARE * gain && allowed && run.problem().guess().is_none() {
        run.reason = format!("a sweep costs {:.1} % of the loop", 100.0 / gain);
        if jacobi::attempt(run, block)? {
            return Ok(());
        }
        run.reason.clear();
    }
    let affordable = PILOT_SHARE * total as f64 * cost.in_order / cost.pilot;
    if affordable < SHORTEST_PILOT as f64 {
        return in_order(run, "a pilot would cost too much of the loop".to_owned());
    }
    let pilot = (affordable as usize).min(LONGEST_PILOT);
    let probe = pilot::probe(run.stages, pilot, run.tolerance)?;
    let longest_block = blocks::length_for(run.problem(), 1, width);
    if let Some(memory) = probe.merged_after.or(probe.predicted) {
        let wanted = run.stages.block_per_memory() * memory;
        let groups =
            blocks::groups_for(total, width, wanted.max(SHORTEST_BLOCK), run.stages.groups());
        let block = blocks::length_for(run.problem(), groups, width);
        // Each block is rolled once, and again for as long as the memory lasts.
        let work = 1.0 + memory as f64 / block as f64;
        if memory <= longest_block && work < gain {
            run.reason = format!("trajectories meet within {memory} steps");
            return jacobi::solve(run, block, None, Unsettled::RunInOrder);
        }
    }
    if newton_pays(run, probe.growth, longest_block, gain) {
        run.reason = format!("small differences change by {:.4} a step", probe.growth);
        return by_newton(run, gain);
    }
    in_order(
        run,
        match probe.merged_after.or(probe.predicted) {
            Some(memory) => format!("trajectories meet within {memory} steps, which is too late"),
            None => format!(
                "trajectories do not meet, small differences change by {:.4} a step",
                probe.growth
            ),
        },
    )
}

/// Shooting, where a coarser grid says that differences do not grow too much for it and sweeps pay; else, where there is such a
/// grid and it says that differences last, the loop. False where there is none, or nothing else is known.
fn by_shooting<R: Real>(run: &mut Run<'_, R>, gain: f64, cost_in_order: f64) -> Result<bool> {
    /// Difference beyond which it tells little.
    const DIFFERENT: f64 = 0.03;
    /// Sweeps that must pay, for each that is expected.
    const SURE: f64 = 1.25;
    if run.problem().total_steps() as f64 * cost_in_order < coarse::LEAST {
        return Ok(false);
    }
    let block = coarse::block(run);
    let blocks = blocks::partition(run.problem(), block);
    let Some(coarse) = coarse::run(run, &blocks, false)? else { return Ok(false) };
    let Coarse { growth, difference, error, .. } = coarse;
    let memory = coarse.memory(run.tolerance.rtol) * block as f64;
    if growth > coarse::GROWTH {
        in_order(run, format!("differences grow {growth:.1e} times on a coarser grid"))?;
        return Ok(true);
    }
    // The first sweep leaves the coarse grid's error, each further one about its square.
    let exact = run.tolerance.rtol.ln();
    let error = error.ln();
    let sweeps = if error <= exact { 1.0 } else { 1.0 + (exact / error).log2().ceil().max(1.0) };
    if difference > DIFFERENT || SURE * sweeps >= gain {
        let longest = blocks::length_for(run.problem(), 1, run.stages.width());
        let forgets = memory <= longest as f64;
        if forgets || newton_may_pay(1, gain) {
            return Ok(false);
        }
        let reason = format!(
            "differences grow {growth:.1} times on a coarser grid, shooting would take {sweeps} sweeps or more"
        );
        in_order(run, reason)?;
        return Ok(true);
    }
    run.reason = format!("differences grow {growth:.1} times on a coarser grid");
    jacobi::solve(run, block, Some(coarse), Unsettled::RunInOrder)?;
    Ok(true)
}

/// Newton on blocks. Where it overshoots and the loop would cost much more than has been spent, damped; then ELK, if that too
/// leaves enough; else what is left in order.
fn by_newton<R: Real>(run: &mut Run<'_, R>, gain: f64) -> Result<()> {
    /// Work of a sweep of ELK, in sweeps of Newton: derivatives twice, more where a step is refused; the algebra, once a block,
    /// does not count.
    const ELK: f64 = 2.5;
    /// Sweeps below which ELK is not begun.
    const FEWEST: usize = 3;
    let size = run.stages.structure().block_size(run.problem().state_dim());
    let begun = run.sweeps as f64;
    let affordable = begun + NEWTON_SHARE * gain / (1.0 + TANGENT * size as f64);
    let damped = affordable as usize;
    let limit = run.sweep_limit(newton::chunk_length(run, Linearization::Full, None));
    let ending = Ending::Impatient { limit, damped };
    let Outcome::Astray(rest) = newton::solve(run, Linearization::Full, None, ending)? else {
        return Ok(());
    };
    let sweeps = ((affordable - run.sweeps as f64) / ELK) as usize;
    if sweeps >= FEWEST && run.stages.can_smooth() {
        run.reason.push_str("; Newton did not close in, ELK went on");
        // So that its chunks fill the lanes.
        let block =
            newton::chunk_length(run, Linearization::Full, None).div_ceil(elk::CHUNK_BLOCKS);
        if elk::solve(run, Linearization::Full, block, LAMBDA, limit.min(run.sweeps + sweeps))? {
            return Ok(());
        }
        return in_order(run, format!("{}; ELK did not close in, the loop ran", run.reason));
    }
    run.reason.push_str("; Newton did not close in, the rest ran in order");
    rest.run_in_order(run)
}

/// Whether Newton on blocks can be expected to beat the loop: a step that lanes speed up enough for
/// its derivatives and a few sweeps, and no growth over a block that would spoil the linear prediction.
fn newton_pays<R: Real>(run: &Run<'_, R>, growth: f64, block: usize, gain: f64) -> bool {
    let log_growth = growth.ln() * block as f64;
    let size = || run.stages.structure().block_size(run.problem().state_dim());
    // To find out the structure takes time.
    log_growth.is_finite()
        && log_growth < 2.0
        && newton_may_pay(1, gain)
        && newton_may_pay(size(), gain)
        && size() <= run.stages.largest_map()
}

/// Whether a few sweeps with so many `tangents` cost less than the loop.
fn newton_may_pay(tangents: usize, gain: f64) -> bool {
    /// Sweeps until the residuals are at rounding, as seen where Newton does well.
    const SWEEPS: f64 = 4.0;
    1.0 + SWEEPS * (1.0 + TANGENT * tangents as f64) < NEWTON_SHARE * gain
}

fn in_order<R: Real>(run: &mut Run<'_, R>, reason: String) -> Result<()> {
    run.method = Method::Sequential;
    run.reason = reason;
    run.in_order()
}
