//! Mathematical functions as PTX text, which `ptx/build` makes of `ptx/math.cu`.

use super::Precision;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Entries `@function NAME TYPE ARGUMENTS`, instructions, `@end`.
const TEXT: &str = include_str!("../../../ptx/built/math.inc");

static FUNCTIONS: LazyLock<HashMap<(&'static str, &'static str), &'static str>> =
    LazyLock::new(|| {
        let mut functions = HashMap::new();
        for entry in TEXT.split("@function ").skip(1) {
            let (head, rest) = entry.split_once('\n').unwrap_or((entry, ""));
            let mut words = head.split_whitespace();
            if let (Some(name), Some(kind)) = (words.next(), words.next()) {
                functions.insert((name, kind), rest.split("@end").next().unwrap_or_default());
            }
        }
        functions
    });

/// The instructions of a function, in which `%a` and `%b` are the arguments and `%r` the result.
pub(super) fn named(name: &'static str, precision: Precision) -> &'static str {
    FUNCTIONS.get(&(name, precision.name())).copied().unwrap_or_default()
}

/// The text of a call, in a scope of its own.
pub(super) fn call(body: &str, arguments: &[String], result: &str) -> String {
    let mut text = String::with_capacity(body.len() + 16);
    text.push_str("{\n");
    let mut rest = body;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let name = &rest[at + 1..];
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        match &name[..end] {
            // `%r<9>` declares registers of the function's own.
            own if name[end..].starts_with('<') => {
                text.push('%');
                text.push_str(own);
            }
            "a" => text.push_str(&arguments[0]),
            "b" if arguments.len() > 1 => text.push_str(&arguments[1]),
            "r" => text.push_str(result),
            other => {
                text.push('%');
                text.push_str(other);
            }
        }
        rest = &name[end..];
    }
    text.push_str(rest);
    text.push_str("}\n");
    text
}
