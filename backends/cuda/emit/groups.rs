//! Which thread has which components, and where what it reads is.
//!
//! A thread has the whole state, or one of the parts of a step that do not depend on each other. Parts that are alike run the same
//! instructions: where a part's leaves are follows from its number, by a stride, or from a table where there is no stride.

use super::code::Precision;
use super::{PARAMS, TANGENTS};
use crate::dynamics::Structure;
use crate::graph::Leaves;
use crate::graph::parts::{Kind, Member, Parts};
use std::fmt::{self, Write};

/// The name of the variable that holds the places which are at no stride.
const TABLE: &str = "places";
/// Entries of θ that a part keeps in registers.
const KEPT: usize = 40;

/// Where a number is: `offset` bytes after an array's beginning, and after what is in the register of `base`.
#[derive(Clone, Copy, Debug)]
pub(in crate::backends::cuda) struct Place {
    pub(super) base: Option<usize>,
    pub(super) offset: usize,
}

/// Bytes by which the places of a part lie after those of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Base {
    /// Its number times these.
    Stride(usize),
    /// One for each part.
    Table(Vec<u32>),
}

/// The names of the arrays in shared memory that hold θ and its tangent.
const SHARED: [&str; 2] = ["near", "near_tangent"];

/// Where threads that have the whole state read θ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::backends::cuda) enum ReadFrom {
    /// Constant memory, whose numbers are operands like registers; global memory beyond what it holds. The driver's compiler may load
    /// more of them ahead than there are registers.
    Constant,
    /// Shared memory, in each step anew: a thread needs no registers for what it does not use at the moment.
    Shared,
}

/// Where θ is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theta {
    /// In constant memory.
    Constant,
    /// In global memory, read in each step.
    Global,
    /// In registers `%th0…`, since the kernel began.
    Registers,
    /// In shared memory, since the kernel began.
    Shared,
}

/// How a state is shared out among threads.
#[derive(Clone, Debug)]
pub(in crate::backends::cuda) struct Groups {
    /// Parts that run this program.
    pub(in crate::backends::cuda) count: usize,
    /// The number of the first of them among all parts.
    first: usize,
    /// Entries of θ.
    pub(super) params: usize,
    pub(super) theta: Theta,
    bases: Vec<Base>,
    pub(super) states: Vec<Place>,
    pub(super) inputs: Vec<Place>,
    pub(super) thetas: Vec<Place>,
    /// The row of a map that each component of the thread has.
    pub(super) rows: Vec<Place>,
}

impl Groups {
    /// The whole state of a step with `leaves` in each thread.
    pub(in crate::backends::cuda) fn whole(
        leaves: Leaves,
        precision: Precision,
        structure: Structure,
        from: ReadFrom,
    ) -> Self {
        /// Bytes of constant memory that θ may take, and of shared memory.
        const CONSTANT: usize = 60 << 10;
        const SHARED: usize = 40 << 10;
        let bytes = precision.bytes();
        let (n, size) = (leaves.state, structure.block_size(leaves.state));
        let at = |number: usize| Place { base: None, offset: number * bytes };
        let theta = match (from, leaves.params * bytes) {
            (ReadFrom::Shared, 1..=SHARED) => Theta::Shared,
            (_, ..=CONSTANT) => Theta::Constant,
            _ => Theta::Global,
        };
        Self {
            count: 1,
            first: 0,
            params: leaves.params,
            theta,
            bases: Vec::new(),
            states: (0..n).map(at).collect(),
            inputs: (0..leaves.input).map(at).collect(),
            thetas: (0..leaves.params).map(at).collect(),
            rows: (0..n).map(|i| at(structure.place(n, i) * size)).collect(),
        }
    }

    /// One of the parts of `kind` in each thread, the first of which has the number `first`. Rows of a map are those of its
    /// diagonal, or of a part's block.
    pub(in crate::backends::cuda) fn of(
        parts: &Parts,
        kind: &Kind,
        first: usize,
        params: usize,
        precision: Precision,
        diagonal: bool,
    ) -> Self {
        let Leaves { state: size, input, params: read, .. } = kind.graph.leaves();
        let mut groups = Self {
            count: kind.members.len(),
            first,
            params: params + parts.constants.len(),
            theta: if read <= KEPT { Theta::Registers } else { Theta::Global },
            bases: Vec::new(),
            states: Vec::new(),
            inputs: Vec::new(),
            thetas: Vec::new(),
            rows: Vec::new(),
        };
        let bytes = precision.bytes();
        let mut places = |count: usize, number: &dyn Fn(&Member, usize) -> usize| {
            (0..count)
                .map(|k| {
                    let all: Vec<usize> =
                        kind.members.iter().map(|member| number(member, k) * bytes).collect();
                    groups.place(&all)
                })
                .collect::<Vec<_>>()
        };
        let states = places(size, &|member, i| member.components[i]);
        let inputs = places(input, &|member, j| member.inputs[j]);
        let thetas = places(read, &|member, k| member.params[k]);
        let rows = places(size, &|member, i| match diagonal {
            true => member.components[i],
            false => (member.block * size + i) * size,
        });
        Self { states, inputs, thetas, rows, ..groups }
    }

    /// Bytes of θ, if it is in constant memory.
    pub(in crate::backends::cuda) fn constant_bytes(&self, precision: Precision) -> usize {
        if self.theta == Theta::Constant { self.params * precision.bytes() } else { 0 }
    }

    /// Places for `count` numbers of each part in a row, those of a part's first number from `first` on.
    pub(in crate::backends::cuda) fn columns(
        &mut self,
        first: usize,
        count: usize,
        precision: Precision,
    ) -> Vec<Place> {
        let column = |k: usize| {
            let offset = |part: usize| (first + k * self.count + part) * precision.bytes();
            let offsets: Vec<usize> = (0..self.count).map(offset).collect();
            self.place(&offsets)
        };
        (0..count).map(column).collect()
    }

    /// The place that is `offsets[g]` bytes after an array's beginning for part `g`.
    fn place(&mut self, offsets: &[usize]) -> Place {
        let offset = offsets[0];
        let stride = match offsets {
            [first, second, ..] => second.checked_sub(*first),
            _ => Some(0),
        };
        let base = match stride {
            Some(stride)
                if offsets.iter().enumerate().all(|(g, &at)| at == offset + g * stride) =>
            {
                if stride == 0 {
                    return Place { base: None, offset };
                }
                (Base::Stride(stride), offset)
            }
            _ => (Base::Table(offsets.iter().map(|&at| at as u32).collect()), 0),
        };
        let (base, offset) = base;
        let known = self.bases.iter().position(|known| *known == base).unwrap_or_else(|| {
            self.bases.push(base);
            self.bases.len() - 1
        });
        Place { base: Some(known), offset }
    }

    /// Declarations at the beginning of a kernel, and what is to be done there before threads part.
    pub(super) fn registers(&self, precision: Precision, with_tangents: bool) -> String {
        let mut text = String::new();
        if !self.bases.is_empty() {
            let _ = writeln!(text, ".reg .u64 %gs<{}>;", self.bases.len());
        }
        if self.theta == Theta::Registers && !self.thetas.is_empty() {
            let _ = writeln!(text, ".reg .{} %th<{}>;", precision.name(), self.thetas.len());
        }
        if self.theta == Theta::Shared {
            let _ = self.copy(&mut text, precision, PARAMS, SHARED[0]);
            if with_tangents {
                let _ = self.copy(&mut text, precision, TANGENTS, SHARED[1]);
            }
            text.push_str("bar.sync 0;\n");
        }
        text
    }

    /// Has the threads of a block copy a variable's numbers, as many as θ has, to an array in shared memory.
    fn copy(&self, text: &mut String, precision: Precision, from: &str, to: &str) -> fmt::Result {
        let (kind, bytes, count) = (precision.name(), precision.bytes(), self.params);
        writeln!(text, ".shared .align 8 .b8 {to}[{}];", count * bytes)?;
        writeln!(
            text,
            "{{\n.reg .u32 %i, %all;\n.reg .u64 %from, %to, %at;\n.reg .pred %done;\n.reg .{kind} %value;\n\
             mov.u32 %i, %tid.x;\n\
             mov.u32 %all, %ntid.x;\n\
             mov.u64 %from, {from};\n\
             mov.u64 %to, {to};\n\
             copy_{to}:\n\
             setp.ge.u32 %done, %i, {count};\n\
             @%done bra copied_{to};\n\
             mad.wide.u32 %at, %i, {bytes}, %from;\n\
             ld.global.{kind} %value, [%at];\n\
             mad.wide.u32 %at, %i, {bytes}, %to;\n\
             st.shared.{kind} [%at], %value;\n\
             add.u32 %i, %i, %all;\n\
             bra copy_{to};\n\
             copied_{to}:\n}}"
        )
    }

    /// The state space that θ is read from, and the name of its array there; with `tangent` of that of its tangent.
    pub(super) fn source(&self, tangent: bool) -> (&'static str, &'static str) {
        match (self.theta, tangent) {
            (Theta::Shared, _) => ("volatile.shared", SHARED[usize::from(tangent)]),
            (_, true) => ("global.nc", TANGENTS),
            (Theta::Constant, false) => ("const", PARAMS),
            (Theta::Global | Theta::Registers, false) => ("global.nc", PARAMS),
        }
    }

    /// The tables, in global memory.
    pub(super) fn table(&self) -> String {
        let entries: Vec<String> = self
            .bases
            .iter()
            .filter_map(|base| match base {
                Base::Table(entries) => Some(entries),
                Base::Stride(_) => None,
            })
            .flatten()
            .map(u32::to_string)
            .collect();
        match entries.len() {
            0 => String::new(),
            len => format!(
                ".visible .global .align 4 .u32 {TABLE}[{len}] = {{{}}};\n",
                entries.join(", ")
            ),
        }
    }

    /// What comes of a thread's number `i`: the block of time in its place, and the number of the part in `slot`.
    pub(super) fn split(&self, precision: Precision, i: &str, slot: Option<&str>) -> String {
        if self.count == 1 && self.bases.is_empty() && self.theta != Theta::Registers {
            return slot
                .map_or_else(String::new, |slot| format!("mov.u32 {slot}, {};\n", self.first));
        }
        let mut text = format!(
            "{{\n.reg .u64 %wide<2>;\n.reg .u32 %group, %entry;\n\
             mov.u64 %wide0, {i};\n\
             div.u64 {i}, %wide0, {count};\n\
             mul.lo.u64 %wide1, {i}, {count};\n\
             sub.u64 %wide0, %wide0, %wide1;\n\
             cvt.u32.u64 %group, %wide0;\n",
            count = self.count
        );
        let mut tables = 0;
        for (k, base) in self.bases.iter().enumerate() {
            let _ = match base {
                Base::Stride(bytes) => writeln!(text, "mul.wide.u32 %gs{k}, %group, {bytes};"),
                Base::Table(entries) => {
                    let at = 4 * tables * entries.len();
                    tables += 1;
                    writeln!(
                        text,
                        "mov.u64 %wide0, {TABLE};\nmad.wide.u32 %wide0, %group, 4, %wide0;\n\
                         ld.global.nc.u32 %entry, [%wide0+{at}];\ncvt.u64.u32 %gs{k}, %entry;"
                    )
                }
            };
        }
        if self.theta == Theta::Registers {
            let mut bases = Bases::new("%wb");
            for (k, &place) in self.thetas.iter().enumerate() {
                let at = bases.at(&mut text, PARAMS, place);
                let kind = precision.name();
                let _ = writeln!(text, "ld.global.nc.{kind} %th{k}, [{at}];");
            }
        }
        if let Some(slot) = slot {
            let _ = writeln!(text, "add.u32 {slot}, %group, {};", self.first);
        }
        text + "}\n"
    }
}

/// Registers with what comes of arrays and bases, made in a scope when they are first needed there.
#[derive(Debug)]
pub(super) struct Bases {
    name: &'static str,
    known: Vec<(String, usize)>,
}

impl Bases {
    /// None yet; the registers' names begin with `name`.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, known: Vec::new() }
    }

    /// The operand for a place in the array at `root`, a register or a variable.
    pub(super) fn at(&mut self, text: &mut String, root: &str, place: Place) -> String {
        let Some(base) = place.base else { return format!("{root}+{}", place.offset) };
        let number = self.known.iter().position(|(known, of)| known == root && *of == base);
        let number = number.unwrap_or_else(|| {
            let register = format!("{}{}", self.name, self.known.len());
            let _ = write!(
                text,
                ".reg .u64 {register};\nmov.u64 {register}, {root};\nadd.u64 {register}, {register}, %gs{base};\n"
            );
            self.known.push((root.to_owned(), base));
            self.known.len() - 1
        });
        format!("{}{number}+{}", self.name, place.offset)
    }
}
