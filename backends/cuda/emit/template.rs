//! Putting a recurrence's instructions into the templates.

use super::PARAMS;
use super::markers::Step;
use crate::backends::cuda::fault::Fault;
use crate::error::Result;

/// The text of a module: `template` with the instructions of `step` in the place of its markers.
pub(in crate::backends::cuda) fn splice(template: &str, step: &Step) -> Result<String> {
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
                text.push_str(&params(step));
            }
            continue;
        };
        let mut words = marker.trim_end_matches(';').split_whitespace();
        let name = words.next().unwrap_or_default();
        let operands: Vec<&str> = words.collect();
        let made = step.text(kernel, name, &operands).ok_or_else(|| {
            let log = format!("no instructions for the marker `{trimmed}` of `{kernel}`");
            Fault::Refused { code: 0, log }.during("making PTX")
        })?;
        text.push_str(&made);
    }
    Ok(text)
}

/// The variable that holds θ.
fn params(step: &Step) -> String {
    let bytes = (step.params() * step.precision().bytes()).max(8);
    let space = if step.constant() { "const" } else { "global" };
    format!(".visible .{space} .align 8 .b8 {PARAMS}[{bytes}];\n")
}
