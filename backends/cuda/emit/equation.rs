//! The unknowns of a step that is defined by an equation: Newton's method in a thread.

use super::code::{Leaves, Precision, Seeds, code};
use super::groups::Groups;
use super::text::Text;
use crate::dynamics::newton::UNDAMPED;
use crate::graph::{Equation, Graph};

/// Iterations in all: where whole corrections do not get there, those after them start again from the guess, and take the part of each that
/// leaves a smaller one. A part that is refused counts, too.
const MOST: usize = UNDAMPED + 120;

/// Writes the unknowns of the step from `%x0…` with the inputs at `%at` to `%z0…`, which are declared: NaN where there is no solution. More
/// instructions must follow in the same scope.
pub(super) fn solve(
    text: &mut Text<'_>,
    precision: Precision,
    equation: &Equation,
    groups: &Groups,
) {
    let k = equation.guess.outputs().len();
    let one = precision.literal(1.0);
    let evaluate = |text: &mut Text<'_>, graph: &Graph, targets: &[String]| {
        let inputs = equation.guess.leaves().input;
        let leaves = Leaves {
            state: "%x",
            seeds: Seeds::Columns("%v"),
            inputs: "%at",
            loaded: false,
            unknowns: Some(inputs),
            groups,
        };
        let made = code(graph, precision, 0, leaves);
        text.line("{");
        text.raw(&made.text);
        let values: Vec<_> = made.outputs.iter().map(|copies| copies[0].as_str()).collect();
        text.assign(targets, &values);
        text.line("}");
    };
    let state = |count: usize| -> Vec<String> { (0..count).map(|i| format!("%z{i}")).collect() };
    let after = Equation::state_dim(k);
    let begin = |text: &mut Text<'_>, damped: &str| {
        evaluate(text, &equation.guess, &state(k));
        for i in k..3 * k + 1 {
            text.line(format!("mov.$ %z{i}, 0$0;"));
        }
        text.line(format!("mov.$ %z{}, {one};", 3 * k + 1));
        text.line(format!("mov.$ %z{}, {damped};", 3 * k + 2));
    };
    text.line(format!(".reg .$ %z<{}>;", after + 2));
    text.line(".reg .pred %last, %lost, %on;");
    text.line(".reg .u32 %count;");
    begin(text, "0$0");
    text.line("mov.u32 %count, 0;");
    text.line("iterate:");
    evaluate(text, &equation.iteration, &state(after + 2));
    text.line(format!("setp.ge.$ %last, %z{after}, {one};"));
    text.line("@%last bra solved;");
    text.line(format!("setp.ge.$ %lost, %z{}, {one};", after + 1));
    text.line("@%lost bra none;");
    text.line("add.u32 %count, %count, 1;");
    text.line(format!("setp.ne.u32 %on, %count, {UNDAMPED};"));
    text.line("@%on bra on;");
    begin(text, &one);
    text.line("on:");
    text.line(format!("setp.lt.u32 %on, %count, {MOST};"));
    text.line("@%on bra iterate;");
    text.line("none:");
    for unknown in state(k) {
        text.line(format!("mov.$ {unknown}, {};", precision.literal(f64::NAN)));
    }
    text.line("solved:");
}
