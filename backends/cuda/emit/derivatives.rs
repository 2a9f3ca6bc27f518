//! The instructions for the markers of `ptx/derivatives.cu`.
//!
//! A kernel holds in registers `%x0..` the state, and `%v0..` the tangent or cotangent.

use super::code::{Leaves, Precision, Seeds, code};
use super::groups::{Bases, Groups, Place};
use super::template::{Markers, state_marker};
use super::text::Text;
use crate::graph::Graph;

/// A step with its tangent.
#[derive(Clone, Debug)]
pub(in crate::backends::cuda) struct Push {
    pub(in crate::backends::cuda) precision: Precision,
    /// Outputs: the step's value `[n]`, its tangent `[n]`.
    pub(in crate::backends::cuda) graph: Graph,
    /// Whether inputs and θ have tangents too, and not the state alone.
    pub(in crate::backends::cuda) all: bool,
    pub(in crate::backends::cuda) groups: Groups,
}

/// A step with the cotangents of what goes into it.
#[derive(Clone, Debug)]
pub(in crate::backends::cuda) struct Pull {
    pub(in crate::backends::cuda) precision: Precision,
    /// Outputs: the cotangents of the state `[n]` and of the input `[m]`, factors, the step's value `[n]`.
    pub(in crate::backends::cuda) graph: Graph,
    pub(in crate::backends::cuda) groups: Groups,
    /// Where in a row the cotangents of the input go, and the factors.
    pub(in crate::backends::cuda) inputs: Vec<Place>,
    pub(in crate::backends::cuda) factors: Vec<Place>,
}

/// `%x` and `%v`.
fn registers(n: usize, precision: Precision, groups: &Groups) -> String {
    let kind = precision.name();
    format!(".reg .{kind} %x<{n}>;\n.reg .{kind} %v<{n}>;\n") + &groups.registers(precision)
}

/// The markers that both directions have; false for others.
fn column_marker(text: &mut Text<'_>, n: usize, marker: &str, operands: &[&str]) -> bool {
    if state_marker(text, n, marker, operands) {
        return true;
    }
    match (marker, operands) {
        ("clear_column", []) => {
            for i in 0..n {
                text.line(format!("mov.$ %v{i}, 0$0;"));
            }
        }
        ("add_column", [at]) => {
            text.address(at);
            text.numbers(1);
            for i in 0..n {
                text.load("%n0", i);
                text.line(format!("add.rn.$ %v{i}, %v{i}, %n0;"));
            }
        }
        ("measure_column", [size]) => {
            text.numbers(2);
            text.line("mov.$ %n0, 0$0;");
            for i in 0..n {
                text.line(format!("abs.$ %n1, %v{i};"));
                text.line("add.rn.$ %n0, %n0, %n1;");
            }
            text.add_wide(size, "%n0");
        }
        ("compare_state", [difference, magnitude, at]) => {
            text.address(at);
            text.numbers(4);
            text.line("mov.$ %n0, 0$0;");
            text.line("mov.$ %n1, 0$0;");
            for i in 0..n {
                text.load("%n2", i);
                text.line(format!("sub.rn.$ %n3, %x{i}, %n2;"));
                text.line("abs.$ %n3, %n3;");
                text.line("add.rn.$ %n0, %n0, %n3;");
                text.line("abs.$ %n2, %n2;");
                text.line("add.rn.$ %n1, %n1, %n2;");
            }
            text.add_wide(difference, "%n0");
            text.add_wide(magnitude, "%n1");
        }
        _ => return false,
    }
    true
}

impl Markers for Push {
    fn precision(&self) -> Precision {
        self.precision
    }

    fn groups(&self) -> &Groups {
        &self.groups
    }

    fn with_tangents(&self) -> bool {
        self.all
    }

    fn text(&self, _: &str, marker: &str, operands: &[&str]) -> Option<String> {
        let n = self.graph.leaves().state;
        let mut text = Text::new(self.precision, &self.groups);
        if column_marker(&mut text, n, marker, operands) {
            return Some(text.finish());
        }
        match (marker, operands) {
            ("registers", []) => return Some(registers(n, self.precision, &self.groups)),
            ("push_step", [inputs, tangents]) => {
                text.address(inputs);
                text.line(".reg .u64 %du;");
                text.line(format!("cvta.to.global.u64 %du, {tangents};"));
                let seeds = match self.all {
                    true => Seeds::All { state: "%v", inputs: "%du" },
                    false => Seeds::Columns("%v"),
                };
                let leaves = Leaves {
                    state: "%x",
                    seeds,
                    inputs: "%at",
                    unknowns: None,
                    groups: &self.groups,
                };
                let made = code(&self.graph, self.precision, 1, leaves);
                text.raw(&made.text);
                let sources: Vec<&str> =
                    made.outputs.iter().map(|copies| copies[0].as_str()).collect();
                let targets: Vec<String> = ["%x", "%v"]
                    .iter()
                    .flat_map(|v| (0..n).map(move |i| format!("{v}{i}")))
                    .collect();
                text.assign(&targets, &sources);
            }
            _ => return None,
        }
        Some(text.finish())
    }
}

impl Markers for Pull {
    fn precision(&self) -> Precision {
        self.precision
    }

    fn groups(&self) -> &Groups {
        &self.groups
    }

    fn text(&self, _: &str, marker: &str, operands: &[&str]) -> Option<String> {
        let (n, m) = (self.graph.leaves().state, self.graph.leaves().input);
        let mut text = Text::new(self.precision, &self.groups);
        if column_marker(&mut text, n, marker, operands) {
            return Some(text.finish());
        }
        match (marker, operands) {
            ("registers", []) => return Some(registers(n, self.precision, &self.groups)),
            ("pull_step", [inputs, of_inputs, factors, record]) => {
                text.address(inputs);
                let seeds = Seeds::Columns("%v");
                let leaves = Leaves {
                    state: "%x",
                    seeds,
                    inputs: "%at",
                    unknowns: None,
                    groups: &self.groups,
                };
                let made = code(&self.graph, self.precision, 1, leaves);
                text.raw(&made.text);
                let outputs: Vec<&str> =
                    made.outputs.iter().map(|copies| copies[0].as_str()).collect();
                let (of_state, rest) = outputs.split_at(n);
                let (of_input, rest) = rest.split_at(m);
                let (kept, values) = rest.split_at(rest.len() - n);
                text.line(".reg .pred %record;");
                text.line(".reg .u64 %to<2>;");
                text.numbers(1);
                text.line(format!("setp.ne.u32 %record, {record}, 0;"));
                let mut bases = Bases::new("%rb");
                let rows = [
                    ("%to0", of_inputs, of_input, &self.inputs),
                    ("%to1", factors, kept, &self.factors),
                ];
                for (row, to, values, places) in rows {
                    text.line(format!("cvta.to.global.u64 {row}, {to};"));
                    for (value, &place) in values.iter().zip(places) {
                        let at = text.operand(&mut bases, row, place);
                        // A constant must be in a register to be stored.
                        text.line(format!("mov.$ %n0, {value};"));
                        text.line(format!("@%record st.global.$ [{at}], %n0;"));
                    }
                }
                let sources = [values, of_state].concat();
                let targets: Vec<String> = ["%x", "%v"]
                    .iter()
                    .flat_map(|v| (0..n).map(move |i| format!("{v}{i}")))
                    .collect();
                text.assign(&targets, &sources);
            }
            _ => return None,
        }
        Some(text.finish())
    }
}
