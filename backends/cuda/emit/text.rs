//! Writing the instructions of a marker.

use super::code::Precision;
use super::groups::{Bases, Groups, Place};

/// The text of one marker, in a scope of its own. In a line `$` stands for the type, `#` for the type of its bits, and
/// `0$0` for zero.
pub(super) struct Text<'g> {
    precision: Precision,
    groups: &'g Groups,
    zero: String,
    body: String,
    bases: Bases,
}

impl<'g> Text<'g> {
    pub(super) fn new(precision: Precision, groups: &'g Groups) -> Self {
        let (zero, body) = (precision.literal(0.0), "{\n".to_owned());
        Self { precision, groups, zero, body, bases: Bases::new("%sb") }
    }

    pub(super) fn finish(self) -> String {
        self.body + "}\n"
    }

    pub(super) fn line(&mut self, line: impl AsRef<str>) {
        let line = line.as_ref().replace("0$0", &self.zero).replace('#', self.precision.bits());
        self.raw(&line.replace('$', self.precision.name()));
        self.raw("\n");
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.body.push_str(text);
    }

    /// Declares `%at`, the address in global memory.
    pub(super) fn address(&mut self, generic: &str) {
        self.address_as("%at", generic);
    }

    /// Declares the register of that name, the address in global memory.
    pub(super) fn address_as(&mut self, name: &str, generic: &str) {
        self.line(format!(".reg .u64 {name};"));
        self.line(format!("cvta.to.global.u64 {name}, {generic};"));
    }

    /// Declares `%sh`, the address in shared memory.
    pub(super) fn shared(&mut self, generic: &str) {
        self.line(".reg .u64 %sh;");
        self.line(format!("cvta.to.shared.u64 %sh, {generic};"));
    }

    pub(super) fn numbers(&mut self, count: usize) {
        self.line(format!(".reg .$ %n<{count}>;"));
    }

    pub(super) fn predicates(&mut self, count: usize) {
        self.line(format!(".reg .pred %q<{count}>;"));
    }

    /// The operand for a place after `root`, with bases of its own.
    pub(super) fn operand(&mut self, bases: &mut Bases, root: &str, place: Place) -> String {
        bases.at(&mut self.body, root, place)
    }

    /// The thread's component `i` of the state at `%at`.
    pub(super) fn component(&mut self, i: usize) -> String {
        self.component_of("%at", i)
    }

    /// The thread's component `i` of the state at the address in a register.
    pub(super) fn component_of(&mut self, at: &str, i: usize) -> String {
        self.bases.at(&mut self.body, at, self.groups.states[i])
    }

    pub(super) fn load(&mut self, register: &str, i: usize) {
        let at = self.component(i);
        self.line(format!("ld.global.$ {register}, [{at}];"));
    }

    pub(super) fn store(&mut self, register: &str, i: usize) {
        let at = self.component(i);
        self.line(format!("st.global.$ [{at}], {register};"));
    }

    /// Stores `value` at `at`, or adds it to what is there where the predicate `add` holds: always, or where `when` does, which `add`
    /// implies. Takes `%n0`.
    pub(super) fn add_to(&mut self, at: &str, value: &str, add: &str, when: Option<&str>) {
        let when = when.map_or_else(String::new, |when| format!("@{when} "));
        self.line("mov.$ %n0, 0$0;");
        self.line(format!("@{add} ld.global.$ %n0, [{at}];"));
        self.line(format!("add.rn.$ %n0, %n0, {value};"));
        self.line(format!("{when}st.global.$ [{at}], %n0;"));
    }

    /// A double in the precision at hand.
    pub(super) fn rounded(&mut self, to: &str, from: &str) {
        match self.precision {
            Precision::Single => self.line(format!("cvt.rn.f32.f64 {to}, {from};")),
            Precision::Double => self.line(format!("mov.f64 {to}, {from};")),
        }
    }

    /// A number in double precision.
    pub(super) fn widened(&mut self, to: &str, from: &str) {
        match self.precision {
            Precision::Single => self.line(format!("cvt.f64.f32 {to}, {from};")),
            Precision::Double => self.line(format!("mov.f64 {to}, {from};")),
        }
    }

    /// Adds a number to one in double precision.
    pub(super) fn add_wide(&mut self, to: &str, from: &str) {
        match self.precision {
            Precision::Single => {
                self.line(format!("{{ .reg .f64 %wide; cvt.f64.f32 %wide, {from};"));
                self.line(format!("add.rn.f64 {to}, {to}, %wide; }}"));
            }
            Precision::Double => self.line(format!("add.rn.f64 {to}, {to}, {from};")),
        }
    }

    /// All at once: a target may be another's source.
    pub(super) fn assign(&mut self, targets: &[String], sources: &[&str]) {
        self.line(format!(".reg .$ %y<{}>;", targets.len().max(1)));
        for (k, source) in sources.iter().enumerate() {
            self.line(format!("mov.$ %y{k}, {source};"));
        }
        for (k, target) in targets.iter().enumerate() {
            self.line(format!("mov.$ {target}, %y{k};"));
        }
    }
}
