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
    /// Where in a row the cotangents of the input go.
    pub(in crate::backends::cuda) inputs: Vec<Place>,
    pub(in crate::backends::cuda) factors: Factors,
}

/// What becomes of the factors of a step, whose products are contributions to the cotangents of θ.
#[derive(Clone, Debug)]
pub(in crate::backends::cuda) enum Factors {
    /// Each is stored at its place in a row.
    Stored(Vec<Place>),
    /// Their products are added up in registers `%s0..`, and these to numbers in double precision at their places in a row.
    Summed { products: Vec<Summand>, sums: Vec<Place> },
}

impl Factors {
    /// Numbers of a part in a row.
    pub(in crate::backends::cuda) fn len(&self) -> usize {
        match self {
            Self::Stored(places) | Self::Summed { sums: places, .. } => places.len(),
        }
    }
}

/// A product of two factors, by their numbers, for a sum.
#[derive(Clone, Copy, Debug)]
pub(in crate::backends::cuda) struct Summand {
    pub(in crate::backends::cuda) left: usize,
    /// None for 1.
    pub(in crate::backends::cuda) right: Option<usize>,
    pub(in crate::backends::cuda) sum: usize,
}

impl Pull {
    /// The registers `%s`, which are 0 at first.
    fn sums(&self) -> String {
        let Factors::Summed { sums, .. } = &self.factors else { return String::new() };
        let (kind, zero) = (self.precision.name(), self.precision.literal(0.0));
        let clear = (0..sums.len()).map(|k| format!("mov.{kind} %s{k}, {zero};\n"));
        format!(".reg .{kind} %s<{}>;\n", sums.len().max(1)) + &clear.collect::<String>()
    }
}

/// `%x` and `%v`.
fn registers(n: usize, precision: Precision, groups: &Groups, with_tangents: bool) -> String {
    let kind = precision.name();
    format!(".reg .{kind} %x<{n}>;\n.reg .{kind} %v<{n}>;\n")
        + &groups.registers(precision, with_tangents)
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
        ("give_column", [at, add]) => {
            text.address(at);
            text.numbers(1);
            text.predicates(1);
            text.line(format!("setp.ne.u32 %q0, {add}, 0;"));
            for i in 0..n {
                let at = text.component(i);
                text.add_to(&at, &format!("%v{i}"), "%q0", None);
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
            ("registers", []) => {
                return Some(registers(n, self.precision, &self.groups, self.all));
            }
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
                    loaded: false,
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
            ("registers", []) => {
                return Some(registers(n, self.precision, &self.groups, false) + &self.sums());
            }
            ("flush_sums", [at]) => {
                let Factors::Summed { sums, .. } = &self.factors else {
                    return Some(String::new());
                };
                text.address(at);
                text.line(".reg .f64 %total;");
                let mut bases = Bases::new("%rb");
                for (k, &place) in sums.iter().enumerate() {
                    let at = text.operand(&mut bases, "%at", place);
                    text.line(format!("ld.global.f64 %total, [{at}];"));
                    text.add_wide("%total", &format!("%s{k}"));
                    text.line(format!("st.global.f64 [{at}], %total;"));
                    text.line(format!("mov.$ %s{k}, 0$0;"));
                }
            }
            ("pull_step", [inputs, of_inputs, factors, record, add]) => {
                text.address(inputs);
                let seeds = Seeds::Columns("%v");
                let leaves = Leaves {
                    state: "%x",
                    seeds,
                    inputs: "%at",
                    loaded: false,
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
                text.line(".reg .pred %record, %add;");
                text.numbers(1);
                text.line(format!("setp.ne.u32 %record, {record}, 0;"));
                text.line(format!("setp.ne.and.u32 %add, {add}, 0, %record;"));
                let mut bases = Bases::new("%rb");
                text.address_as("%to", of_inputs);
                for (value, &place) in of_input.iter().zip(&self.inputs) {
                    let at = text.operand(&mut bases, "%to", place);
                    text.add_to(&at, value, "%add", Some("%record"));
                }
                match &self.factors {
                    Factors::Stored(places) => {
                        text.address_as("%row", factors);
                        for (value, &place) in kept.iter().zip(places) {
                            let at = text.operand(&mut bases, "%row", place);
                            // A constant must be in a register to be stored.
                            text.line(format!("mov.$ %n0, {value};"));
                            text.line(format!("@%record st.global.$ [{at}], %n0;"));
                        }
                    }
                    Factors::Summed { products, .. } => {
                        for &Summand { left, right, sum } in products {
                            let left = kept[left];
                            text.line(match right {
                                Some(right) => {
                                    format!("fma.rn.$ %s{sum}, {left}, {}, %s{sum};", kept[right])
                                }
                                None => format!("add.rn.$ %s{sum}, %s{sum}, {left};"),
                            });
                        }
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
