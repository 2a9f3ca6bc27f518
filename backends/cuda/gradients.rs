//! The texts of the kernels that run derivatives of steps, for whole states or for their parts, and what they leave where.

use super::emit::{Groups, Pull, Push, splice};
use super::kernels::{derivatives, precision};
use super::programs::{Made, of_parts, parts_in, parts_of};
use crate::dynamics::Structure;
use crate::error::{Error, Result};
use crate::graph::adjoint::{Adjoint, Right};
use crate::graph::parts::Parts;
use crate::graph::tangent::Tangent;
use crate::graph::{Graph, structure_of};
use crate::scalar::Real;

/// What a backward sweep leaves of each step: a row of cotangents of inputs, and a row of factors.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Numbers in a row.
    pub(super) inputs: usize,
    pub(super) factors: usize,
    /// The products of factors that are contributions to the cotangents of θ.
    pub(super) products: Vec<Product>,
    /// For each input where in the row its summands are. None where the row has the cotangents themselves.
    pub(super) summands: Option<Vec<Vec<u32>>>,
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
}

/// The products of an adjoint whose factor `k` is at `place(k)`, and its entry `k` of θ at `param(k)`; those whose entry is none are left
/// out.
fn products(
    adjoint: &Adjoint,
    place: impl Fn(usize) -> u32,
    param: impl Fn(usize) -> Option<usize>,
) -> Vec<Product> {
    let mut found = Vec::new();
    for tile in &adjoint.tiles {
        for (r, params) in tile.params.chunks(tile.lefts.len()).enumerate() {
            let right = match tile.rights[r] {
                Right::Computed(k) => place(adjoint.lefts + k),
                // All but 1 are computed.
                Right::One | Right::State(_) | Right::Input(_) => Product::ONE,
            };
            for (&left, &entry) in tile.lefts.iter().zip(params) {
                if let Some(param) = param(entry) {
                    found.push(Product { left: place(left), right, param });
                }
            }
        }
    }
    found
}

/// The parts of a step, if a thread is to have less than the whole state.
fn divided(value: &Graph) -> Option<Parts> {
    let n = value.leaves().state;
    let structure = structure_of(&value.sparsity()).in_equal_blocks();
    let parts = parts_of(n, structure);
    if parts == 1 { None } else { parts_in(value, structure, parts) }
}

/// The graph of an adjoint.
fn graph_of(adjoint: &Adjoint) -> Result<&Graph> {
    adjoint
        .graph()
        .ok_or_else(|| Error::setting("adjoint", "one made from a graph", "one written by hand"))
}

/// The kernel that runs backwards.
pub(super) fn pulling<R: Real>(adjoint: &Adjoint) -> Result<Made> {
    let precision = precision::<R>();
    let graph = graph_of(adjoint)?;
    let leaves = graph.leaves();
    let outputs = graph.outputs().len();
    let template = derivatives("pull");
    let Some(parts) = divided(&graph.of_outputs(outputs - leaves.state..outputs)) else {
        let factors = adjoint.lefts + adjoint.computed;
        let mut groups = Groups::whole(leaves, precision, Structure::Dense);
        let step = Pull {
            precision,
            graph: graph.clone(),
            inputs: groups.columns(0, leaves.input, precision),
            factors: groups.columns(0, factors, precision),
            groups,
        };
        let products = products(adjoint, |k| k as u32, Some);
        let layout = Layout { inputs: leaves.input, factors, products, summands: None };
        return Ok(Made { layout, ..Made::of(splice(&template, &step)?) });
    };
    let mut layout = Layout::default();
    let mut summands = vec![Vec::new(); leaves.input];
    let theta = leaves.params;
    let made = of_parts((theta, precision), parts, true, |kind, mut groups| {
        let adjoint = Adjoint::with_all_factors(&kind.graph);
        let (count, read) = (kind.members.len(), kind.graph.leaves().input);
        let factors = adjoint.lefts + adjoint.computed;
        for (part, member) in kind.members.iter().enumerate() {
            let column = |first: usize, k: usize| (first + k * count + part) as u32;
            for (k, &input) in member.inputs.iter().enumerate() {
                summands[input].push(column(layout.inputs, k));
            }
            let param = |k: usize| Some(member.params[k]).filter(|&param| param < theta);
            layout.products.extend(products(&adjoint, |k| column(layout.factors, k), param));
        }
        let step = Pull {
            precision,
            graph: graph_of(&adjoint)?.clone(),
            inputs: groups.columns(layout.inputs, read, precision),
            factors: groups.columns(layout.factors, factors, precision),
            groups,
        };
        layout.inputs += count * read;
        layout.factors += count * factors;
        splice(&template, &step)
    })?;
    layout.summands = Some(summands);
    Ok(Made { layout, ..made })
}

/// The kernel that runs forwards: with tangents of `all`, or of the state alone.
pub(super) fn pushing<R: Real>(tangent: &Tangent, all: bool) -> Result<Made> {
    let precision = precision::<R>();
    let leaves = tangent.graph.leaves();
    let template = derivatives("push");
    let Some(parts) = divided(&tangent.graph.of_outputs(0..leaves.state)) else {
        let graph = if all { &tangent.graph } else { &tangent.graph_in_state };
        let groups = Groups::whole(leaves, precision, Structure::Dense);
        let step = Push { precision, graph: graph.clone(), all, groups };
        return Ok(Made::of(splice(&template, &step)?));
    };
    of_parts((leaves.params, precision), parts, true, |kind, groups| {
        let graph = if all { kind.graph.forward() } else { kind.graph.forward_in_state() };
        splice(&template, &Push { precision, graph, all, groups })
    })
}
