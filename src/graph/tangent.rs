//! The derivative of a step in one direction, arranged for runs along a trajectory.

use super::program::Program;
use super::{Graph, identity};

/// The forward derivative of a step.
#[derive(Debug)]
pub struct Tangent {
    /// Outputs: the step's value `[n]`, its tangent `[n]`; seeds are tangents of state, input and θ.
    pub(crate) program: Program,
    /// The same.
    pub(crate) graph: Graph,
    /// The same where the state alone has a tangent.
    pub(crate) graph_in_state: Graph,
    pub(crate) identity: u64,
}

impl Tangent {
    pub(crate) fn new(graph: &Graph) -> Self {
        let leaves = graph.leaves();
        let forward = graph.forward();
        Self {
            program: Program::new(&forward, leaves.state + leaves.input),
            graph: forward,
            graph_in_state: graph.forward_in_state(),
            identity: identity(),
        }
    }
}
