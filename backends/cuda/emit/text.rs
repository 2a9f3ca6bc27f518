//! Writing the instructions of a marker.

use super::code::Precision;

/// The text of one marker, in a scope of its own. In a line `$` stands for the type, `#` for the type of its bits, and
/// `0$0` for zero.
pub(super) struct Text {
    precision: Precision,
    zero: String,
    body: String,
}

impl Text {
    pub(super) fn new(precision: Precision) -> Self {
        Self { precision, zero: precision.literal(0.0), body: "{\n".to_owned() }
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
        self.line(".reg .u64 %at;");
        self.line(format!("cvta.to.global.u64 %at, {generic};"));
    }

    pub(super) fn numbers(&mut self, count: usize) {
        self.line(format!(".reg .$ %n<{count}>;"));
    }

    pub(super) fn predicates(&mut self, count: usize) {
        self.line(format!(".reg .pred %q<{count}>;"));
    }

    pub(super) fn load(&mut self, register: &str, index: usize) {
        let offset = index * self.precision.bytes();
        self.line(format!("ld.global.$ {register}, [%at+{offset}];"));
    }

    pub(super) fn store(&mut self, register: &str, index: usize) {
        let offset = index * self.precision.bytes();
        self.line(format!("st.global.$ [%at+{offset}], {register};"));
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
