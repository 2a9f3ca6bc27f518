//! Tokens of PTX text.

use super::Refusal;

/// One token and the line it stands on, from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A directive, an opcode with its modifiers, or a name: `.reg`, `add.rn.f32`, `%tid.x`.
    Word(String),
    /// A whole number; those above `i64::MAX` keep their bits.
    Integer(i64),
    /// Bits of `0f3F800000`.
    Single(u32),
    /// Bits of `0d3FF0000000000000`, or of a decimal fraction.
    Double(u64),
    Text(String),
    /// One of `, ; : { } ( ) [ ] < > @ ! + - | =`.
    Mark(char),
}

/// Splits `text` into tokens. Comments, `.loc` and `.file` lines leave none.
///
/// # Errors
/// A character or number that is none of PTX.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut lexer = Lexer { rest: text, line: 1, out: Vec::new() };
    while lexer.token()? {}
    Ok(lexer.out)
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
    out: Vec<Token>,
}

impl Lexer<'_> {
    fn token(&mut self) -> Result<bool, Refusal> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(false);
        };
        if first == '\n' {
            self.line += 1;
            self.skip(1);
        } else if first.is_ascii_whitespace() {
            self.skip(1);
        } else if self.rest.starts_with("//") {
            self.skip_line();
        } else if self.rest.starts_with("/*") {
            let end = self
                .rest
                .find("*/")
                .ok_or_else(|| Refusal::at(self.line, "a comment has no end"))?;
            self.line += self.rest[..end].matches('\n').count() as u32;
            self.skip(end + 2);
        } else if first == '"' {
            let end = self.rest[1..]
                .find('"')
                .ok_or_else(|| Refusal::at(self.line, "a string has no end"))?;
            self.push(Kind::Text(self.rest[1..=end].to_owned()));
            self.skip(end + 2);
        } else if first.is_ascii_digit() {
            let end = self
                .rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
                .unwrap_or(self.rest.len());
            let mut end = end;
            if !self.rest.starts_with("0x")
                && !self.rest.starts_with("0f")
                && !self.rest.starts_with("0d")
            {
                // The sign of a decimal exponent belongs to its number.
                if self.rest[..end].ends_with(['e', 'E'])
                    && self.rest[end..].starts_with(['+', '-'])
                {
                    let tail = &self.rest[end + 1..];
                    end += 1 + tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
                }
            }
            let kind = number(&self.rest[..end]).ok_or_else(|| {
                Refusal::at(self.line, format!("`{}` is no number", &self.rest[..end]))
            })?;
            self.push(kind);
            self.skip(end);
        } else if is_word(first) {
            let end = self.rest.find(|c: char| !is_word(c)).unwrap_or(self.rest.len());
            // `L1::evict_last` is one modifier.
            let mut end = end;
            while self.rest[end..].starts_with("::") {
                let tail = &self.rest[end + 2..];
                end += 2 + tail.find(|c: char| !is_word(c)).unwrap_or(tail.len());
            }
            let word = &self.rest[..end];
            if word == ".loc" || word == ".file" {
                self.skip_line();
            } else {
                self.push(Kind::Word(word.to_owned()));
                self.skip(end);
            }
        } else if ",;:{}()[]<>@!+-|=".contains(first) {
            self.push(Kind::Mark(first));
            self.skip(1);
        } else {
            return Err(Refusal::at(self.line, format!("`{first}` is no character of PTX")));
        }
        Ok(true)
    }

    fn push(&mut self, kind: Kind) {
        self.out.push(Token { kind, line: self.line });
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn skip_line(&mut self) {
        self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '%' | '.')
}

fn number(text: &str) -> Option<Kind> {
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0f") {
        return (hex.len() == 8)
            .then(|| u32::from_str_radix(hex, 16).ok())
            .flatten()
            .map(Kind::Single);
    }
    if let Some(hex) = lower.strip_prefix("0d") {
        return (hex.len() == 16)
            .then(|| u64::from_str_radix(hex, 16).ok())
            .flatten()
            .map(Kind::Double);
    }
    let whole = lower.strip_suffix('u').unwrap_or(&lower);
    let (digits, radix) = if let Some(hex) = whole.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(binary) = whole.strip_prefix("0b") {
        (binary, 2)
    } else if whole.len() > 1 && whole.starts_with('0') && !whole.contains(['.', 'e']) {
        (&whole[1..], 8)
    } else {
        (whole, 10)
    };
    if let Ok(bits) = u64::from_str_radix(digits, radix) {
        return Some(Kind::Integer(bits as i64));
    }
    (radix == 10).then(|| lower.parse::<f64>().ok()).flatten().map(|x| Kind::Double(x.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).expect("tokens").into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn an_instruction() {
        let word = |w: &str| Kind::Word(w.to_owned());
        let expected = vec![
            Kind::Mark('@'),
            Kind::Mark('!'),
            word("%p1"),
            word("ld.global.L1::no_allocate.f32"),
            word("%f1"),
            Kind::Mark(','),
            Kind::Mark('['),
            word("%rd1"),
            Kind::Mark('+'),
            Kind::Mark('-'),
            Kind::Integer(4),
            Kind::Mark(']'),
            Kind::Mark(';'),
        ];
        assert_eq!(
            kinds("@!%p1 ld.global.L1::no_allocate.f32 %f1, [%rd1+-4]; // comment"),
            expected
        );
    }

    #[test]
    fn numbers() {
        let expected = vec![
            Kind::Integer(255),
            Kind::Integer(-1),
            Kind::Integer(8),
            Kind::Integer(5),
            Kind::Single(0x3f80_0000),
            Kind::Double(1.0f64.to_bits()),
            Kind::Double(0.25f64.to_bits()),
            Kind::Double(1.5e-3f64.to_bits()),
        ];
        assert_eq!(
            kinds("0xFF 0xFFFFFFFFFFFFFFFF 010 0b101 0f3F800000 0d3FF0000000000000 0.25 1.5e-3"),
            expected
        );
        assert!(tokens("0f3F80").is_err());
        assert!(tokens("12ab").is_err());
    }

    #[test]
    fn lines_are_counted_through_comments() {
        let tokens = tokens("/* one\n two */ ret;\n.loc 1 2 3\nexit;").expect("tokens");
        assert_eq!(tokens.iter().map(|token| token.line).collect::<Vec<_>>(), [2, 2, 4, 4]);
    }
}
