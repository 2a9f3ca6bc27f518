//! Putting a recurrence's instructions into the templates.

use super::code::Precision;
use super::groups::{Groups, Theta};
use super::text::Text;
use super::{PARAMS, TANGENTS};
use crate::backends::cuda::fault::Fault;
use crate::error::Result;

/// What the markers of a template stand for.
pub(in crate::backends::cuda) trait Markers {
    fn precision(&self) -> Precision;

    /// How the state is shared out.
    fn groups(&self) -> &Groups;

    /// The instructions for a marker of `kernel`; none where it is not known.
    fn text(&self, kernel: &str, marker: &str, operands: &[&str]) -> Option<String>;

    /// Whether there is a tangent of θ too.
    fn with_tangents(&self) -> bool {
        false
    }
}

/// The markers that all templates have, for a state of `n` components; false for others.
pub(super) fn state_marker(text: &mut Text<'_>, n: usize, marker: &str, operands: &[&str]) -> bool {
    let (register, load) = match marker {
        "load_state" => ("%x", true),
        "store_state" => ("%x", false),
        "load_column" => ("%v", true),
        "store_column" => ("%v", false),
        _ => return false,
    };
    let [at] = operands else { return false };
    text.address(at);
    for i in 0..n {
        let register = format!("{register}{i}");
        if load { text.load(&register, i) } else { text.store(&register, i) }
    }
    true
}

/// The text of a module: `template` with the instructions of `step` in the place of its markers.
pub(in crate::backends::cuda) fn splice(template: &str, step: &impl Markers) -> Result<String> {
    let mut text = String::with_capacity(2 * template.len());
    let mut kernel = "";
    for line in template.lines() {
        let trimmed = line.trim_start();
        if let Some((_, name)) = trimmed.split_once(".entry ") {
            kernel = name.trim_end_matches('(').trim();
        }
        // `@%p` and `@!%p` are PTX's own.
        let marker = trimmed.strip_prefix('@').filter(|rest| !rest.starts_with(['%', '!']));
        let Some(marker) = marker else {
            text.push_str(line);
            text.push('\n');
            if trimmed.starts_with(".address_size") {
                text.push_str(&variables(step));
            }
            continue;
        };
        let mut words = marker.trim_end_matches(';').split_whitespace();
        let name = words.next().unwrap_or_default();
        let operands: Vec<&str> = words.collect();
        let made = match (name, &operands[..]) {
            ("split", [i]) => Some(step.groups().split(step.precision(), i, None)),
            ("split", [i, slot]) => Some(step.groups().split(step.precision(), i, Some(slot))),
            _ => step.text(kernel, name, &operands),
        };
        let made = made.ok_or_else(|| {
            let (kernel, marker) = (kernel.to_owned(), trimmed.to_owned());
            Fault::Template { kernel, marker }.during("making PTX")
        })?;
        text.push_str(&made);
    }
    Ok(text)
}

/// The variables that hold θ and its tangent, and tables of places.
fn variables(step: &impl Markers) -> String {
    let groups = step.groups();
    let bytes = (groups.params * step.precision().bytes()).max(8);
    // What is copied to shared memory comes from global memory.
    let space = if groups.theta == Theta::Constant { "const" } else { "global" };
    let mut text = format!(".visible .{space} .align 8 .b8 {PARAMS}[{bytes}];\n");
    if step.with_tangents() {
        text.push_str(&format!(".visible .global .align 8 .b8 {TANGENTS}[{bytes}];\n"));
    }
    text + &groups.table()
}
