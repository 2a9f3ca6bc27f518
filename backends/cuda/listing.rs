//! All PTX that is made for the steps of a problem, for who assembles it without a device.

use super::emit::ReadFrom;
use super::gradients::{pulling, pushing};
use super::newton::Form;
use super::programs::{self, Made};
use crate::dynamics::Recurrence;
use crate::error::Result;
use crate::graph::adjoint::Adjoint;
use crate::graph::tangent::Tangent;
use crate::problem::Problem;
use crate::solver::Linearization;

/// The modules that are made for the steps of `problem`, with names: `roll`, `deer` and `newton` (DEER in stages and in one launch),
/// `pull`, `push` and `push_state` (derivatives backwards, forwards in all and in the state alone), each with the number of the kind of
/// parts, and with `near` before it where θ is read from shared memory. There is no `newton` where one launch has no kernel for them.
pub(super) fn modules<D: Recurrence>(problem: &Problem<'_, D>) -> Result<Vec<(String, String)>> {
    let full = Linearization::Full;
    let structure = programs::structure(problem);
    let graph = problem.graph()?;
    let tangent = Tangent::new(graph);
    let mut modules = Vec::new();
    let mut add = |name: &str, made: Made| {
        for (kind, (text, _)) in made.programs.into_iter().enumerate() {
            modules.push((format!("{name}_{kind}"), text));
        }
    };
    add("roll", programs::stepping(problem)?);
    for (from, near) in [(ReadFrom::Constant, ""), (ReadFrom::Shared, "_near")] {
        add(&format!("deer{near}"), programs::linearizing(problem, structure, full, from)?);
        if let Some(form) = Form::of(problem.state_dim(), structure, full) {
            let made = programs::newton(problem, structure, full, form, from)?;
            add(&format!("newton{near}"), made);
        }
        let adjoint = Adjoint::with_all_factors(graph);
        add(&format!("pull{near}"), pulling::<D::Real>(&adjoint, from)?);
        add(&format!("push{near}"), pushing::<D::Real>(&tangent, true, from)?);
        add(&format!("push_state{near}"), pushing::<D::Real>(&tangent, false, from)?);
    }
    Ok(modules)
}
