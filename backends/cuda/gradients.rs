//! The texts of the kernels that run derivatives of steps, for whole states or for their parts, and what they leave where.

use super::emit::{Factors, Groups, Precision, Pull, Push, ReadFrom, Summand, splice};
use super::kernels::{derivatives, precision};
use super::programs::{LARGEST_STATE, Made, of_parts, parts_in, parts_of};
use crate::dynamics::Structure;
use crate::error::{Error, Result};
use crate::graph::adjoint::{Adjoint, Right};
use crate::graph::parts::Parts;
use crate::graph::tangent::Tangent;
use crate::graph::{Graph, structure_of};
use crate::scalar::Real;

/// Bytes of sums that a thread keeps in registers.
const SUMS: usize = 256;

/// What a backward sweep leaves: of each step a row of cotangents of inputs; and a row of factors, or of each block a row of the sums of
/// their products.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Numbers in a row.
    pub(super) inputs: usize,
    pub(super) factors: usize,
    /// Whether rows have sums, in double precision.
    pub(super) summed: bool,
    /// The products of factors, or the sums, that are contributions to the cotangents of θ.
    pub(super) products: Vec<Product>,
    /// For each input where in the row its summands are. None where the row has the cotangents themselves.
    pub(super) summands: Option<Vec<Vec<u32>>>,
}

impl Layout {
    /// That of a cell of so many `units`.
    pub(super) fn of_cell(adjoint: &Adjoint, units: usize) -> Self {
        let product = |entry: Entry| Product::of(entry, |k| k as u32);
        Self {
            inputs: adjoint.leaves.input,
            factors: adjoint.lefts + adjoint.computed + units + adjoint.leaves.input,
            products: entries(adjoint, units).into_iter().map(product).collect(),
            ..Self::default()
        }
    }
}

/// A product of two factors, by their places in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub(super) left: u32,
    /// [`Product::ONE`] for 1.
    pub(super) right: u32,
    /// The entry of θ that it belongs to.
    pub(super) param: usize,
}

impl Product {
    /// As in `ptx/products.cu`.
    const ONE: u32 = u32::MAX;

    /// With the column `k` of a part at `place(k)`.
    fn of(entry: Entry, place: impl Fn(usize) -> u32) -> Self {
        let Entry { left, right, param } = entry;
        Self { left: place(left), right: right.map_or(Self::ONE, &place), param }
    }
}

/// A product of an adjoint's factors, and the entry of θ that it belongs to.
#[derive(Clone, Copy)]
struct Entry {
    left: usize,
    /// None for 1.
    right: Option<usize>,
    param: usize,
}

/// Those of an adjoint. Of one of a cell the rights that it does not compute follow: its `units`' states, then its inputs.
fn entries(adjoint: &Adjoint, units: usize) -> Vec<Entry> {
    let computed = adjoint.lefts + adjoint.computed;
    let mut found = Vec::new();
    for tile in &adjoint.tiles {
        for (r, params) in tile.params.chunks(tile.lefts.len()).enumerate() {
            let right = match tile.rights[r] {
                Right::Computed(k) => Some(adjoint.lefts + k),
                Right::State(i) => Some(computed + i),
                Right::Input(j) => Some(computed + units + j),
                Right::One => None,
            };
            found.extend(tile.lefts.iter().zip(params).map(|(&left, &param)| Entry {
                left,
                right,
                param,
            }));
        }
    }
    found
}

/// What becomes of the factors of an adjoint, in rows where a part's first number is at `first`; and what the rows then have, as products
/// of their columns.
fn kept(
    adjoint: &Adjoint,
    groups: &mut Groups,
    first: usize,
    precision: Precision,
    summed: bool,
) -> (Factors, Vec<Entry>) {
    let all = entries(adjoint, 0);
    if !summed {
        let count = adjoint.lefts + adjoint.computed;
        return (Factors::Stored(groups.columns(first, count, precision)), all);
    }
    let params = summed_params(&all);
    let sum = |entry: &Entry| params.binary_search(&entry.param).unwrap_or_default();
    let products = all
        .iter()
        .map(|entry| Summand { left: entry.left, right: entry.right, sum: sum(entry) })
        .collect();
    let sums = groups.columns(first, params.len(), Precision::Double);
    let columns = params.iter().enumerate();
    let columns = columns.map(|(left, &param)| Entry { left, right: None, param }).collect();
    (Factors::Summed { products, sums }, columns)
}

/// The entries of θ that there are products for, in order.
fn summed_params(entries: &[Entry]) -> Vec<usize> {
    let mut params: Vec<usize> = entries.iter().map(|entry| entry.param).collect();
    params.sort_unstable();
    params.dedup();
    params
}

/// Whether sums of an adjoint's products are few enough for a thread.
fn few(adjoint: &Adjoint, precision: Precision) -> bool {
    summed_params(&entries(adjoint, 0)).len() * precision.bytes() <= SUMS
}

/// The parts of a step, if a thread is to have less than the whole state.
fn divided(value: &Graph) -> Option<Parts> {
    let n = value.leaves().state;
    let structure = structure_of(&value.sparsity()).in_equal_blocks();
    let parts = parts_of(n, structure);
    if parts == 1 { None } else { parts_in(value, structure, parts) }
}

/// An error for a state that a thread cannot hold.
fn check_state(n: usize) -> Result<()> {
    if n <= LARGEST_STATE {
        return Ok(());
    }
    let expected = format!(
        "at most {LARGEST_STATE} components that depend on each other for derivatives on `Cuda`, whose threads hold them in \
         registers (use `Cpu`)"
    );
    Err(Error::setting("problem: state_dim", expected, n))
}

/// The graph of an adjoint.
fn graph_of(adjoint: &Adjoint) -> Result<&Graph> {
    adjoint
        .graph()
        .ok_or_else(|| Error::setting("adjoint", "one made from a graph", "one written by hand"))
}

/// The kernel that runs backwards.
pub(super) fn pulling<R: Real>(adjoint: &Adjoint, from: ReadFrom) -> Result<Made> {
    let precision = precision::<R>();
    let graph = graph_of(adjoint)?;
    let leaves = graph.leaves();
    let outputs = graph.outputs().len();
    let template = derivatives("pull");
    let Some(parts) = divided(&graph.of_outputs(outputs - leaves.state..outputs)) else {
        check_state(leaves.state)?;
        let mut groups = Groups::whole(leaves, precision, Structure::Dense, from);
        let summed = few(adjoint, precision);
        let (factors, columns) = kept(adjoint, &mut groups, 0, precision, summed);
        let step = Pull {
            precision,
            graph: graph.clone(),
            inputs: groups.columns(0, leaves.input, precision),
            groups,
            factors,
        };
        let layout = Layout {
            inputs: leaves.input,
            factors: step.factors.len(),
            summed,
            products: columns.iter().map(|&entry| Product::of(entry, |k| k as u32)).collect(),
            summands: None,
        };
        return Ok(Made { layout, ..Made::of(splice(&template, &step)?, &step.groups, precision) });
    };
    let summed =
        parts.kinds.iter().all(|kind| few(&Adjoint::with_all_factors(&kind.graph), precision));
    let mut layout = Layout { summed, ..Layout::default() };
    let mut summands = vec![Vec::new(); leaves.input];
    let theta = leaves.params;
    let made = of_parts((theta, precision), parts, true, |kind, mut groups| {
        let adjoint = Adjoint::with_all_factors(&kind.graph);
        let (count, read) = (kind.members.len(), kind.graph.leaves().input);
        let (factors, columns) = kept(&adjoint, &mut groups, layout.factors, precision, summed);
        for (part, member) in kind.members.iter().enumerate() {
            let column = |first: usize, k: usize| (first + k * count + part) as u32;
            for (k, &input) in member.inputs.iter().enumerate() {
                summands[input].push(column(layout.inputs, k));
            }
            for entry in &columns {
                let param = member.params[entry.param];
                // Others are constants.
                if param < theta {
                    let entry = Entry { param, ..*entry };
                    layout.products.push(Product::of(entry, |k| column(layout.factors, k)));
                }
            }
        }
        let step = Pull {
            precision,
            graph: graph_of(&adjoint)?.clone(),
            inputs: groups.columns(layout.inputs, read, precision),
            groups,
            factors,
        };
        layout.inputs += count * read;
        layout.factors += count * step.factors.len();
        splice(&template, &step)
    })?;
    layout.summands = Some(summands);
    Ok(Made { layout, ..made })
}

/// The kernel that runs forwards: with tangents of `all`, or of the state alone.
pub(super) fn pushing<R: Real>(tangent: &Tangent, all: bool, from: ReadFrom) -> Result<Made> {
    let precision = precision::<R>();
    let leaves = tangent.graph.leaves();
    let template = derivatives("push");
    let Some(parts) = divided(&tangent.graph.of_outputs(0..leaves.state)) else {
        check_state(leaves.state)?;
        let graph = if all { &tangent.graph } else { &tangent.graph_in_state };
        let groups = Groups::whole(leaves, precision, Structure::Dense, from);
        let step = Push { precision, graph: graph.clone(), all, groups };
        return Ok(Made::of(splice(&template, &step)?, &step.groups, precision));
    };
    of_parts((leaves.params, precision), parts, true, |kind, groups| {
        let graph = if all { kind.graph.forward() } else { kind.graph.forward_in_state() };
        splice(&template, &Push { precision, graph, all, groups })
    })
}
