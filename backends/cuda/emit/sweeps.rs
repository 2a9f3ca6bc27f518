//! The instructions for the markers of `ptx/sweeps.cu` and `ptx/newton.cu`.
//!
//! A kernel holds in registers `%x0..` the state, `%size0..` the components' sizes, and `%v0..` columns of
//! a derivative, one after the other.

use super::code::{Leaves, Precision, Seeds, code};
use super::equation;
use super::groups::{Bases, Groups};
use super::template::{Markers, state_marker};
use super::text::Text;
use crate::dynamics::Structure;
use crate::graph::{Equation, Graph};
use crate::solver::Tolerance;
use std::fmt::Write;

/// How columns of a derivative go a step on.
#[derive(Clone, Debug)]
pub(in crate::backends::cuda) enum Columns {
    /// Times the Jacobian: a graph with the state's tangent as seeds.
    Tangents(Graph),
    /// Times the Jacobian's diagonal: a graph with that as further outputs.
    Diagonal(Graph),
    /// As they are.
    Unchanged,
}

/// A recurrence's step, and what a linearising kernel is to do with it.
#[derive(Clone, Debug)]
pub(in crate::backends::cuda) struct Step {
    precision: Precision,
    value: Graph,
    columns: Columns,
    /// Columns in one thread of a kernel that linearises.
    together: usize,
    structure: Structure,
    groups: Groups,
    /// Numbers in a row of a map in shared memory.
    row: usize,
    /// The user's instructions in place of those of `value`.
    text: Option<String>,
    /// What the step solves for the unknowns that `value` is given.
    equation: Option<Equation>,
}

impl Step {
    /// For threads that have the components of `value`, `structure` that of their Jacobian.
    pub(in crate::backends::cuda) fn new(
        precision: Precision,
        value: Graph,
        columns: Columns,
        together: usize,
        structure: Structure,
        groups: Groups,
    ) -> Self {
        let row = structure.block_size(value.leaves().state);
        let (text, equation) = (None, None);
        Self { precision, value, columns, together, structure, groups, row, text, equation }
    }

    /// With so many numbers in a row of a map in shared memory, if not just those of a block.
    pub(in crate::backends::cuda) fn with_row(self, row: usize) -> Self {
        Self { row, ..self }
    }

    /// With the user's instructions for the step's value, if there are any.
    pub(in crate::backends::cuda) fn with_text(self, text: Option<&str>) -> Self {
        Self { text: text.map(str::to_owned), ..self }
    }

    /// With the equation that the step solves, if it is defined by one.
    pub(in crate::backends::cuda) fn with_equation(self, equation: Option<Equation>) -> Self {
        Self { equation, ..self }
    }

    fn n(&self) -> usize {
        self.value.leaves().state
    }

    /// Columns that a thread of `kernel` has.
    fn columns_in(&self, kernel: &str) -> usize {
        match kernel {
            "linearize" => self.together,
            "replay" => 1,
            _ if kernel.starts_with("newton_") => self.together,
            _ => 0,
        }
    }

    /// The row of each component in its block of the Jacobian.
    fn rows(&self) -> Vec<usize> {
        let n = self.n();
        let size = self.structure.block_size(n);
        (0..n).map(|i| self.structure.place(n, i) % size).collect()
    }

    fn each(&self, work: impl FnMut(usize)) {
        (0..self.n()).for_each(work);
    }

    fn registers(&self, columns: usize) -> String {
        let (n, kind) = (self.n(), self.precision.name());
        let mut text = format!(".reg .{kind} %x<{n}>;\n.reg .{kind} %size<{n}>;\n");
        text.push_str(&self.groups.registers(self.precision, false));
        if columns > 0 {
            let _ = writeln!(text, ".reg .{kind} %v<{}>;", columns * n);
        }
        if let inputs @ 1.. = self.inputs_ahead() {
            let _ = writeln!(text, ".reg .{kind} %u<{inputs}>;\n.reg .{kind} %w<{inputs}>;");
        }
        text
    }

    /// Inputs that are read before their step: all, or where there are many, or instructions that read them for themselves, none.
    fn inputs_ahead(&self) -> usize {
        /// Inputs that do not crowd a thread's registers.
        const FEW: usize = 8;
        let own = self.text.is_some() || self.equation.is_some();
        if own || self.groups.inputs.len() > FEW { 0 } else { self.groups.inputs.len() }
    }

    /// Reads the inputs at `at` to registers of that name.
    fn read_inputs(&self, text: &mut Text<'_>, name: &str, at: &str) {
        text.address(at);
        let mut bases = Bases::new("%rb");
        for (j, &place) in self.groups.inputs[..self.inputs_ahead()].iter().enumerate() {
            let at = text.operand(&mut bases, "%at", place);
            text.line(format!("ld.global.nc.$ {name}{j}, [{at}];"));
        }
    }

    /// On to the inputs that were read for the next step.
    fn take_inputs(&self, text: &mut Text<'_>) {
        for j in 0..self.inputs_ahead() {
            text.line(format!("mov.$ %u{j}, %w{j};"));
        }
    }

    fn leaves<'t>(&'t self, inputs: &'t str) -> Leaves<'t> {
        let unknowns = self.equation.as_ref().map(|equation| equation.guess.leaves().input);
        Leaves {
            state: "%x",
            seeds: Seeds::Columns("%v"),
            inputs,
            loaded: self.inputs_ahead() > 0,
            unknowns,
            groups: &self.groups,
        }
    }

    /// The unknowns of the step with the inputs at `%at`, if there are any.
    fn solve(&self, text: &mut Text<'_>) {
        if let Some(equation) = &self.equation {
            equation::solve(text, self.precision, equation, &self.groups);
        }
    }

    fn step(&self, text: &mut Text<'_>, inputs: &str) {
        text.address(inputs);
        if let Some(own) = &self.text {
            text.raw(own);
            return text.raw("\n");
        }
        self.solve(text);
        let value = self.equation.as_ref().map_or(&self.value, |equation| &equation.state);
        let made = code(value, self.precision, 0, self.leaves("%at"));
        text.raw(&made.text);
        let next: Vec<_> = made.outputs.iter().map(|copies| copies[0].as_str()).collect();
        let targets: Vec<_> = (0..self.n()).map(|i| format!("%x{i}")).collect();
        text.assign(&targets, &next);
        self.take_inputs(text);
    }

    fn linear_step(&self, text: &mut Text<'_>, inputs: &str, columns: usize) {
        let n = self.n();
        let graph = match &self.columns {
            Columns::Tangents(graph) | Columns::Diagonal(graph) => graph,
            Columns::Unchanged => return self.step(text, inputs),
        };
        text.address(inputs);
        self.solve(text);
        let made = code(graph, self.precision, columns, self.leaves("%at"));
        text.raw(&made.text);
        let (next, slopes) = made.outputs.split_at(n);
        let mut sources: Vec<String> = next.iter().map(|copies| copies[0].clone()).collect();
        let mut targets: Vec<String> = (0..n).map(|i| format!("%x{i}")).collect();
        match self.columns {
            Columns::Diagonal(_) => {
                for v in 0..columns * n {
                    text.line(format!("mul.rn.$ %v{v}, %v{v}, {};", slopes[v % n][0]));
                }
            }
            _ => {
                for v in 0..columns * n {
                    let copies = &slopes[v % n];
                    sources.push(copies[(v / n).min(copies.len() - 1)].clone());
                    targets.push(format!("%v{v}"));
                }
            }
        }
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        text.assign(&targets, &sources);
        self.take_inputs(text);
    }

    fn fade_sizes(&self, text: &mut Text<'_>) {
        let forgotten = 1.0 - 1.0 / Tolerance::SIZE_STEPS as f64;
        let (forgotten, largest) = (self.precision.literal(forgotten), self.precision.largest());
        text.numbers(2);
        text.predicates(1);
        self.each(|i| {
            text.line(format!("abs.$ %n0, %x{i};"));
            text.line(format!("setp.lt.$ %q0, %n0, {largest};"));
            text.line("selp.$ %n0, %n0, 0$0, %q0;");
            text.line(format!("mul.rn.$ %n1, %size{i}, {forgotten};"));
            text.line(format!("max.$ %size{i}, %n0, %n1;"));
        });
    }

    /// Whether the state agrees with a stored one, and the largest difference. With `bits`, equal bits agree
    /// whatever they are; without, a difference that is not finite makes the largest one NaN.
    fn compare(
        &self,
        text: &mut Text<'_>,
        bits: bool,
        within: &str,
        residual: &str,
        [at, atol, rtol]: [&str; 3],
    ) {
        let largest = self.precision.largest();
        let ratio = self.precision.literal(Tolerance::SIZE_RATIO);
        text.address(at);
        text.numbers(10);
        text.predicates(4);
        text.line(format!(".reg .{} %same<2>;", self.precision.bits()));
        text.rounded("%n0", atol);
        text.rounded("%n1", rtol);
        // %n2 the largest difference, %n9 NaN where one is not finite; %q0 whether all agree.
        text.line("mov.$ %n2, 0$0;");
        text.line("mov.$ %n9, 0$0;");
        text.line("setp.eq.$ %q0, 0$0, 0$0;");
        self.each(|i| {
            text.load("%n3", i);
            text.line(format!("sub.rn.$ %n4, %x{i}, %n3;"));
            text.line("abs.$ %n4, %n4;");
            text.line(format!("abs.$ %n5, %x{i};"));
            text.line("abs.$ %n6, %n3;");
            text.line("max.$ %n5, %n5, %n6;");
            text.line(format!("setp.le.$ %q1, %size{i}, {largest};"));
            text.line(format!("selp.$ %n6, %size{i}, 0$0, %q1;"));
            text.line(format!("mul.rn.$ %n7, %n5, {ratio};"));
            text.line("min.$ %n6, %n6, %n7;");
            text.line("max.$ %n6, %n6, %n5;");
            text.line("fma.rn.$ %n7, %n6, %n1, %n0;");
            text.line("setp.le.$ %q1, %n4, %n7;");
            text.line(format!("setp.le.and.$ %q1, %n4, {largest}, %q1;"));
            if bits {
                text.line(format!("mov.# %same0, %x{i};"));
                text.line("mov.# %same1, %n3;");
                text.line("setp.eq.# %q2, %same0, %same1;");
                text.line("or.pred %q1, %q1, %q2;");
                text.line("selp.$ %n4, 0$0, %n4, %q2;");
            } else {
                text.line("fma.rn.$ %n9, %n4, 0$0, %n9;");
            }
            text.line("max.$ %n2, %n2, %n4;");
            text.line("and.pred %q0, %q0, %q1;");
        });
        text.line("add.rn.$ %n2, %n2, %n9;");
        text.line(format!("selp.u32 {within}, 1, 0, %q0;"));
        text.widened(residual, "%n2");
    }

    /// Predicates `%q{g}`: whether column `g` of the thread is the offset, which follows the columns of the map.
    fn find_offset(&self, text: &mut Text<'_>, columns: usize, group: &str, count: &str) {
        text.predicates(columns);
        text.line(".reg .u32 %column;");
        for g in 0..columns {
            text.line(format!("mad.lo.u32 %column, {group}, {columns}, {g};"));
            text.line(format!("setp.eq.u32 %q{g}, %column, {count};"));
        }
    }

    fn seed(&self, text: &mut Text<'_>, columns: usize, group: &str, count: &str) {
        let (n, one) = (self.n(), self.precision.literal(1.0));
        text.predicates(2);
        text.line(".reg .u32 %column;");
        for g in 0..columns {
            text.line(format!("mad.lo.u32 %column, {group}, {columns}, {g};"));
            text.line(format!("setp.lt.u32 %q1, %column, {count};"));
            for (i, row) in self.rows().into_iter().enumerate() {
                text.line(format!("setp.eq.and.u32 %q0, %column, {row}, %q1;"));
                text.line(format!("selp.$ %v{}, {one}, 0$0, %q0;", g * n + i));
            }
        }
    }

    fn cross_border(
        &self,
        text: &mut Text<'_>,
        columns: usize,
        at: &str,
        group: &str,
        count: &str,
    ) {
        let n = self.n();
        text.address(at);
        text.numbers(2);
        self.find_offset(text, columns, group, count);
        self.each(|i| {
            text.load("%n0", i);
            for g in 0..columns {
                let v = g * n + i;
                text.line(format!("add.rn.$ %n1, %x{i}, %v{v};"));
                text.line(format!("@%q{g} sub.rn.$ %v{v}, %n1, %n0;"));
            }
            text.line(format!("mov.$ %x{i}, %n0;"));
        });
    }

    fn store_columns(
        &self,
        text: &mut Text<'_>,
        columns: usize,
        map: &str,
        group: &str,
        count: &str,
    ) {
        text.address(map);
        self.each_column(text, columns, group, count, |text, g| {
            let (n, bytes) = (self.n(), self.precision.bytes());
            text.line(".reg .u64 %to;");
            text.line(format!("mad.wide.u32 %to, %column, {bytes}, %at;"));
            let mut bases = Bases::new("%rb");
            for (i, &row) in self.groups.rows.iter().enumerate() {
                let at = text.operand(&mut bases, "%to", row);
                text.line(format!("@%q0 st.global.$ [{at}], %v{};", g * n + i));
            }
        });
    }

    /// As [`store_columns`](Self::store_columns), but the rows of this thread's map are one after the other.
    fn share_columns(
        &self,
        text: &mut Text<'_>,
        columns: usize,
        map: &str,
        group: &str,
        count: &str,
    ) {
        let (n, bytes) = (self.n(), self.precision.bytes());
        let row = self.row * bytes;
        text.shared(map);
        self.each_column(text, columns, group, count, |text, g| {
            text.line(".reg .u64 %to;");
            text.line(format!("mad.wide.u32 %to, %column, {bytes}, %sh;"));
            self.each(|i| {
                text.line(format!("@%q0 st.shared.$ [%to+{}], %v{};", i * row, g * n + i));
            });
        });
    }

    /// In a scope for each column `g` of the thread: its number among all is in `%column`, and `%q0` says whether it is one of the map's.
    fn each_column(
        &self,
        text: &mut Text<'_>,
        columns: usize,
        group: &str,
        count: &str,
        mut work: impl FnMut(&mut Text<'_>, usize),
    ) {
        text.predicates(1);
        text.line(".reg .u32 %column;");
        for g in 0..columns {
            text.line(format!("mad.lo.u32 %column, {group}, {columns}, {g};"));
            text.line(format!("setp.lt.u32 %q0, %column, {count};"));
            text.line("{");
            work(text, g);
            text.line("}");
        }
    }

    fn share_change(&self, text: &mut Text<'_>, to: &str, at: &str) {
        let bytes = self.precision.bytes();
        text.shared(to);
        text.address(at);
        text.numbers(1);
        self.each(|i| {
            text.load("%n0", i);
            text.line(format!("sub.rn.$ %n0, %x{i}, %n0;"));
            text.line(format!("st.shared.$ [%sh+{}], %n0;", i * bytes));
        });
    }

    fn move_start(&self, text: &mut Text<'_>, [to, old, change, end]: [&str; 4]) {
        let (n, bytes) = (self.n(), self.precision.bytes());
        text.shared(change);
        text.line(".reg .pred %finite;");
        for (name, address) in [("old", old), ("end", end)] {
            text.line(format!(".reg .$ %{name}<{n}>;"));
            text.address_as(&format!("%{name}_at"), address);
            self.each(|i| {
                let at = text.component_of(&format!("%{name}_at"), i);
                text.line(format!("ld.global.$ %{name}{i}, [{at}];"));
            });
        }
        text.line(format!(".reg .$ %moved<{n}>;"));
        text.address(to);
        self.each(|i| {
            text.line(format!("ld.shared.$ %moved{i}, [%sh+{}];", i * bytes));
            text.line(format!("add.rn.$ %moved{i}, %old{i}, %moved{i};"));
            for other in ["%end", "%old"] {
                text.line(format!("testp.finite.$ %finite, %moved{i};"));
                text.line(format!("selp.$ %moved{i}, %moved{i}, {other}{i}, %finite;"));
            }
            text.store(&format!("%moved{i}"), i);
        });
    }

    fn store_end(
        &self,
        text: &mut Text<'_>,
        columns: usize,
        [at, group, count, factor]: [&str; 4],
    ) {
        let n = self.n();
        text.address(at);
        text.numbers(2);
        text.line(".reg .pred %finite;");
        text.rounded("%n0", factor);
        self.find_offset(text, columns, group, count);
        for g in 0..columns {
            self.each(|i| {
                self.moved(text, i, g * n + i);
                let at = text.component(i);
                text.line(format!("@%q{g} st.global.$ [{at}], %n1;"));
            });
        }
    }

    /// `%n1 = x + factor · v` where that is finite, else `x`; the factor is in `%n0`.
    fn moved(&self, text: &mut Text<'_>, i: usize, v: usize) {
        text.line(format!("mul.rn.$ %n1, %v{v}, %n0;"));
        text.line(format!("add.rn.$ %n1, %x{i}, %n1;"));
        text.line("testp.finite.$ %finite, %n1;");
        text.line(format!("selp.$ %n1, %n1, %x{i}, %finite;"));
    }

    fn move_border(&self, text: &mut Text<'_>, at: &str, factor: &str) {
        text.address(at);
        text.numbers(3);
        text.line(".reg .pred %finite;");
        text.rounded("%n0", factor);
        self.each(|i| {
            self.moved(text, i, i);
            text.load("%n2", i);
            text.store("%n1", i);
            text.line(format!("sub.rn.$ %v{i}, %n1, %n2;"));
            text.line(format!("mov.$ %x{i}, %n2;"));
        });
    }
}

impl Markers for Step {
    fn precision(&self) -> Precision {
        self.precision
    }

    fn groups(&self) -> &Groups {
        &self.groups
    }

    fn text(&self, kernel: &str, marker: &str, operands: &[&str]) -> Option<String> {
        let columns = self.columns_in(kernel);
        let mut text = Text::new(self.precision, &self.groups);
        if state_marker(&mut text, self.n(), marker, operands) {
            return Some(text.finish());
        }
        match (marker, operands) {
            ("registers", []) => return Some(self.registers(columns)),
            ("clear_sizes", []) => self.each(|i| text.line(format!("mov.$ %size{i}, 0$0;"))),
            ("grow_sizes", []) => {
                text.numbers(1);
                self.each(|i| {
                    text.line(format!("abs.$ %n0, %x{i};"));
                    text.line(format!("max.$ %size{i}, %size{i}, %n0;"));
                });
            }
            ("fade_sizes", []) => self.fade_sizes(&mut text),
            ("load_inputs", [at]) => self.read_inputs(&mut text, "%u", at),
            ("next_inputs", [at]) => self.read_inputs(&mut text, "%w", at),
            ("step", [at]) => self.step(&mut text, at),
            ("linear_step", [at]) => self.linear_step(&mut text, at, columns),
            ("change_step", [at]) => self.linear_step(&mut text, at, 1),
            ("meet", [within, residual, at, atol, rtol]) => {
                self.compare(&mut text, true, within, residual, [at, atol, rtol]);
            }
            ("check", [within, residual, at, atol, rtol]) => {
                self.compare(&mut text, false, within, residual, [at, atol, rtol]);
            }
            ("seed_columns", [group, count]) => self.seed(&mut text, columns, group, count),
            ("scale_columns", [factor]) => {
                text.numbers(1);
                text.rounded("%n0", factor);
                for v in 0..columns * self.n() {
                    text.line(format!("mul.rn.$ %v{v}, %v{v}, %n0;"));
                }
            }
            ("cross_border", [at, group, count]) => {
                self.cross_border(&mut text, columns, at, group, count);
            }
            ("store_columns", [map, group, count]) => {
                self.store_columns(&mut text, columns, map, group, count);
            }
            ("share_columns", [map, group, count]) => {
                self.share_columns(&mut text, columns, map, group, count);
            }
            ("share_change", [to, at]) => self.share_change(&mut text, to, at),
            ("move_start", [to, old, change, end]) => {
                self.move_start(&mut text, [to, old, change, end]);
            }
            ("store_end", [at, group, count, factor]) => {
                self.store_end(&mut text, columns, [at, group, count, factor]);
            }
            ("load_change", [at]) => {
                text.address(at);
                text.numbers(1);
                self.each(|i| {
                    text.load("%n0", i);
                    text.line(format!("sub.rn.$ %v{i}, %n0, %x{i};"));
                });
            }
            ("move_border", [at, factor]) => self.move_border(&mut text, at, factor),
            _ => return None,
        }
        Some(text.finish())
    }
}
