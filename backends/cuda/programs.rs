//! The texts of the kernels that run a recurrence's steps, for whole states or for their parts.

use super::emit::{Columns, Groups, Precision, ReadFrom, Step, splice};
use super::gradients::Layout;
use super::kernels::{only, precision};
use super::newton::Form;
use crate::dynamics::{Recurrence, Structure};
use crate::error::{Error, Result};
use crate::graph::parts::{Kind, Parts};
use crate::graph::{Graph, structure_of};
use crate::problem::Problem;
use crate::solver::Linearization;

/// `ptx/sweeps.cu`.
const SWEEPS: &str = include_str!("../../ptx/built/sweeps.ptx");
/// `ptx/newton.cu`.
const NEWTON: &str = include_str!("../../ptx/built/newton.ptx");

/// Components of the largest state, or part of a state, that is held in a thread's registers.
pub(super) const LARGEST_STATE: usize = 128;
/// Components of a state that a thread holds whole, also where it falls into parts.
const SMALL_STATE: usize = 16;
/// Components of a state up to which each problem is asked for its structure; that of larger ones is kept with the graph.
pub(super) const LOOKED_AT: usize = 64;
/// Programs that a step may need because its parts are not alike.
const MOST_KINDS: usize = 32;
/// Unknowns of a step: elimination without loops takes about a third of their number's cube of instructions.
const MOST_UNKNOWNS: usize = 16;
/// Numbers of a thread that do not crowd its registers.
const ROOM: usize = 64;

/// The text of some kernels.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// A text for each kind of part, and how many parts run it.
    pub(super) programs: Vec<(String, usize)>,
    /// Entries of θ after its own.
    pub(super) constants: Vec<f64>,
    /// Columns of a derivative in one thread.
    pub(super) together: usize,
    /// Columns of a chunk's map.
    pub(super) columns: usize,
    /// What a backward sweep leaves where.
    pub(super) layout: Layout,
    /// Bytes of θ that threads read, each all of it, where they do so from constant memory; else none.
    pub(super) constant: usize,
}

impl Made {
    /// One program for whole states, without columns.
    pub(super) fn of(text: String, groups: &Groups, precision: Precision) -> Self {
        Self {
            programs: vec![(text, 1)],
            constant: groups.constant_bytes(precision),
            ..Self::default()
        }
    }

    /// The names of the kernels.
    pub(super) fn kernels(&self) -> Vec<String> {
        let texts =
            self.programs.iter().flat_map(|(text, _)| text.split(".visible .entry ").skip(1));
        texts.filter_map(|entry| Some(entry.split_once('(')?.0.to_owned())).collect()
    }

    /// The text of all programs, one after the other.
    pub(super) fn text(self) -> String {
        self.programs.into_iter().map(|(text, _)| text).collect::<Vec<_>>().join("\n")
    }
}

/// The kernel that rolls blocks by a list.
pub(super) const ROLLING: [&str; 1] = ["roll"];
/// Those of block Jacobi.
pub(super) const SETTLING: [&str; 4] = ["open_all", "roll_open", "look", "settle"];

/// All kernels that need the steps' values alone.
pub(super) fn stepping<D: Recurrence>(problem: &Problem<'_, D>) -> Result<Made> {
    let kernels = [&ROLLING[..], &SETTLING].concat();
    values(problem, structure(problem), None, &kernels, ReadFrom::Constant)
}

/// The structure of the Jacobians of `problem`, whatever its size, in blocks of one size: their kernels need the graph anyway.
pub(super) fn structure<D: Recurrence>(problem: &Problem<'_, D>) -> Structure {
    let found = match (problem.structure(), problem.graph()) {
        (Structure::Dense, Ok(graph)) if problem.state_dim() > LOOKED_AT => {
            structure_of(&graph.sparsity())
        }
        (known, _) => known,
    };
    let found = found.in_equal_blocks();
    // A thread solves the whole of an equation, and so has the whole state.
    let whole = problem.dynamics().unknown_dim() > 0;
    let in_one = found == Structure::Diagonal && problem.state_dim() <= SMALL_STATE;
    if whole && !in_one { Structure::Dense } else { found }
}

/// How the steps of a problem are shared out among threads.
enum Division<'p> {
    Whole(&'p Graph),
    Parts(Parts),
}

/// Kernels that need the steps' values alone.
pub(super) fn values<D: Recurrence>(
    problem: &Problem<'_, D>,
    structure: Structure,
    text: Option<&str>,
    kernels: &[&str],
    from: ReadFrom,
) -> Result<Made> {
    let precision = precision::<D::Real>();
    let template = only(SWEEPS, kernels);
    let made = |graph: &Graph, groups| {
        let columns = Columns::Unchanged;
        let step = Step::new(precision, graph.clone(), columns, 0, Structure::Dense, groups)
            .with_text(text)
            .with_equation(problem.dynamics().equation()?);
        splice(&template, &step)
    };
    match divided(problem, structure, text.is_some())? {
        Division::Whole(graph) => {
            let groups = Groups::whole(graph.leaves(), precision, Structure::Dense, from);
            let made = Made::of(made(graph, groups.clone())?, &groups, precision);
            // Of the user's own text there is no other form.
            Ok(if text.is_some() { Made { constant: 0, ..made } } else { made })
        }
        Division::Parts(parts) => {
            of_parts((problem.params().len(), precision), parts, false, |kind, groups| {
                made(&kind.graph, groups)
            })
        }
    }
}

/// Of a step with that structure of its Jacobians: how columns go on, the map's structure, and the number of its columns.
fn columns_of(
    graph: &Graph,
    structure: Structure,
    linearization: Linearization,
) -> (Columns, Structure, usize) {
    match linearization {
        Linearization::Zero | Linearization::Identity => {
            (Columns::Unchanged, Structure::Diagonal, 0)
        }
        Linearization::Diagonal if structure != Structure::Diagonal => {
            (Columns::Diagonal(graph.with_diagonal()), Structure::Diagonal, 1)
        }
        Linearization::Diagonal | Linearization::Full => {
            let columns = structure.block_size(graph.leaves().state);
            (Columns::Tangents(graph.forward_in_state()), structure, columns)
        }
    }
}

/// The kernels that linearise the steps of `problem`, whose Jacobians have that structure.
pub(super) fn linearizing<D: Recurrence>(
    problem: &Problem<'_, D>,
    structure: Structure,
    linearization: Linearization,
    from: ReadFrom,
) -> Result<Made> {
    let template = only(SWEEPS, &["linearize", "replay"]);
    let division = divided(problem, structure, false)?;
    with_columns(problem, division, (structure, linearization), (&template, None), from)
}

/// The kernel of `form` for the steps of `problem`, whose Jacobians have that structure; none where they cannot be shared out as it wants.
pub(super) fn newton<D: Recurrence>(
    problem: &Problem<'_, D>,
    structure: Structure,
    linearization: Linearization,
    form: Form,
    from: ReadFrom,
) -> Result<Made> {
    let template = only(NEWTON, &[&form.kernel::<D::Real>()]);
    let division = match (divided(problem, structure, false)?, form) {
        (Division::Whole(graph), Form::Parts { size }) => {
            match parts_in(graph, structure, problem.state_dim() / size) {
                Some(parts) => Division::Parts(parts),
                None => return Ok(Made::default()),
            }
        }
        (Division::Parts(_), Form::Diagonal { .. } | Form::Dense { .. }) => {
            return Ok(Made::default());
        }
        (division, _) => division,
    };
    // One component is a diagonal as well.
    let structure = if problem.state_dim() == 1 { Structure::Diagonal } else { structure };
    with_columns(problem, division, (structure, linearization), (&template, Some(form)), from)
}

/// Columns in one thread of a kernel that linearises steps of `n` components, where a map has so many.
fn columns_together(made: &Columns, n: usize, columns: usize) -> usize {
    match made {
        Columns::Diagonal(_) => 2,
        // The offset is one more column.
        _ => (ROOM / n.max(1)).saturating_sub(1).clamp(1, 4).min(columns + 1),
    }
}

/// A template of kernels that linearise, of one that sweeps in one launch with its `form`.
fn with_columns<D: Recurrence>(
    problem: &Problem<'_, D>,
    division: Division<'_>,
    (structure, linearization): (Structure, Linearization),
    (template, form): (&str, Option<Form>),
    from: ReadFrom,
) -> Result<Made> {
    let precision = precision::<D::Real>();
    // The text for a step's graph, the columns of its map, and how many of them are in one thread.
    let made = |graph: &Graph, structure: Structure, groups: &dyn Fn(Structure) -> Groups| {
        let n = graph.leaves().state;
        let (made, structure, columns) = columns_of(graph, structure, linearization);
        let together = match form {
            Some(form) => form.together::<D::Real>(),
            None => columns_together(&made, n, columns),
        };
        let row = form.map_or(structure.block_size(n), Form::row);
        let groups = groups(structure);
        let step = Step::new(precision, graph.clone(), made, together, structure, groups);
        let step = step.with_row(row).with_equation(problem.dynamics().equation()?);
        Ok::<_, Error>((splice(template, &step)?, columns, together))
    };
    match division {
        Division::Whole(graph) => {
            let groups = |of_map| Groups::whole(graph.leaves(), precision, of_map, from);
            let (text, columns, together) = made(graph, structure, &groups)?;
            Ok(Made { together, columns, ..Made::of(text, &groups(structure), precision) })
        }
        Division::Parts(parts) => {
            let size = structure.block_size(problem.state_dim());
            let of_part = if size == 1 { Structure::Diagonal } else { Structure::Dense };
            let (mut width, mut share) = (0, 0);
            let diagonal = size == 1 || linearization != Linearization::Full;
            let made =
                of_parts((problem.params().len(), precision), parts, diagonal, |kind, groups| {
                    let (text, columns, together) =
                        made(&kind.graph, of_part, &|_| groups.clone())?;
                    (width, share) = (columns, together);
                    Ok(text)
                })?;
            Ok(Made { together: share, columns: width, ..made })
        }
    }
}

/// The kernels that linearise the steps of `problem`.
pub(super) fn linearized<D: Recurrence>(
    problem: &Problem<'_, D>,
    linearization: Linearization,
) -> Result<Made> {
    linearizing(problem, structure(problem), linearization, ReadFrom::Constant)
}

/// A program for each kind of part; rows of a map are those of its `diagonal`, or of a part's block.
pub(super) fn of_parts(
    (params, precision): (usize, Precision),
    parts: Parts,
    diagonal: bool,
    mut text: impl FnMut(&Kind, Groups) -> Result<String>,
) -> Result<Made> {
    let mut programs = Vec::with_capacity(parts.kinds.len());
    let mut first = 0;
    for kind in &parts.kinds {
        let groups = Groups::of(&parts, kind, first, params, precision, diagonal);
        programs.push((text(kind, groups)?, kind.members.len()));
        first += kind.members.len();
    }
    Ok(Made { programs, constants: parts.constants, ..Made::default() })
}

/// The parts that a state of `n` components is shared out in, where its Jacobians have that structure.
pub(super) fn parts_of(n: usize, structure: Structure) -> usize {
    if n <= SMALL_STATE { 1 } else { n / structure.block_size(n) }
}

/// The `count` parts of a step whose Jacobians have that structure, if there are not too many kinds of them.
pub(super) fn parts_in(graph: &Graph, structure: Structure, count: usize) -> Option<Parts> {
    let n = graph.leaves().state;
    let size = structure.block_size(n);
    let blocks: Vec<Vec<usize>> = (0..count)
        .map(|block| (0..size).map(|row| structure.component(n, block, row)).collect())
        .collect();
    graph.parts(&blocks).filter(|parts| parts.kinds.len() <= MOST_KINDS)
}

/// The graph of the steps of `problem`, or its parts, if they can run in a thread. What is the user's own is `whole`.
fn divided<'p, D: Recurrence>(
    problem: &'p Problem<'_, D>,
    structure: Structure,
    whole: bool,
) -> Result<Division<'p>> {
    let unknowns = problem.dynamics().unknown_dim();
    if unknowns > MOST_UNKNOWNS {
        return Err(Error::setting(
            "problem: unknown_dim",
            format!(
                "at most {MOST_UNKNOWNS} unknowns in a step on `Cuda`, whose threads hold their equations in registers (use `Cpu`)"
            ),
            unknowns,
        ));
    }
    let n = problem.state_dim();
    let too_large = |expected: String| Err(Error::setting("problem: state_dim", expected, n));
    if whole && n > LARGEST_STATE {
        return too_large(format!(
            "at most {LARGEST_STATE} with a step in PTX, which has the state in registers (leave the step to its graph)"
        ));
    }
    let graph = problem.graph()?;
    let parts = parts_of(n, structure);
    if whole || parts == 1 && n <= LARGEST_STATE {
        return Ok(Division::Whole(graph));
    }
    let size = n / parts;
    if size > LARGEST_STATE {
        let expected = format!(
            "at most {LARGEST_STATE} components in a block on `Cuda`, whose threads hold a block of the Jacobian in registers; \
             blocks are of one size: components that all depend on each other are one block, and so is a state whose own \
             blocks fit into no smaller size that divides it (add idle components until they do, or use `Cpu`)"
        );
        let got = format!("a block of {size} in a state of {n}");
        return Err(Error::setting("problem: state_dim", expected, got));
    }
    match parts_in(graph, structure, parts) {
        Some(parts) => Ok(Division::Parts(parts)),
        None if n <= LARGEST_STATE => Ok(Division::Whole(graph)),
        None => too_large(format!(
            "at most {LARGEST_STATE} on `Cuda`, or blocks of components as `structure` declares them that do the same \
             operations but for at most {MOST_KINDS} kinds of them (use `Cpu`)"
        )),
    }
}
