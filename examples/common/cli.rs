//! Options, and one line for what is wrong with them.

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser};
use deer_solver::Cpu;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Something that the user can put right; one line that says what is allowed.
#[derive(Debug)]
pub(crate) struct Misuse(String);

impl Misuse {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Misuse {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let said = error.to_string();
            // Some messages end with their cause.
            if !message.ends_with(&said) {
                message.push_str(&format!(": {said}"));
            }
            cause = error.source();
        }
        Self(message)
    }
}

/// Parses the options and runs the program with them: exit code 2 for misuse.
pub(crate) fn main_with<O: Parser + CommandFactory>(
    run: impl FnOnce(O) -> Result<(), Misuse>,
) -> ExitCode {
    let options = match O::try_parse() {
        Ok(options) => options,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            say(error);
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&one_line::<O>(&error)),
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Misuse(message)) => fail(&message),
    }
}

/// Prints to standard output. Nobody may be reading any more (`demo | head`), which is no error.
pub(crate) fn say(text: impl fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn fail(message: &str) -> ExitCode {
    eprintln!("error: {}", message.replace('\n', " "));
    ExitCode::from(2)
}

/// The parser's message without its hints, which take several lines.
fn one_line<O: CommandFactory>(error: &clap::Error) -> String {
    let text = error.to_string();
    let message: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty() && !line.starts_with("tip:"))
        .collect();
    let mut message = message.join(" ");
    if let Some(rest) = message.strip_prefix("error: ") {
        message = rest.to_owned();
    }
    if error.kind() == ErrorKind::UnknownArgument {
        let command = O::command();
        let allowed: Vec<String> = command
            .get_arguments()
            .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
            .collect();
        message.push_str(&format!(" [options: {}, --help]", allowed.join(", ")));
    }
    message
}

/// A whole number, `10000` or `1e4`.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    let allowed = || "expected a whole number, such as 10000 or 1e4".to_owned();
    if let Ok(count) = text.parse::<usize>() {
        return Ok(count);
    }
    let value: f64 = text.parse().map_err(|_| allowed())?;
    // Beyond 2⁵³ an f64 no longer holds every whole number.
    if value.fract() == 0.0 && (0.0..=9e15).contains(&value) {
        Ok(value as usize)
    } else {
        Err(allowed())
    }
}

/// A whole number of at least 1.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match count(text) {
        Ok(0) => Err("expected at least 1".to_owned()),
        other => other,
    }
}

/// As many threads as a pool can sensibly have.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    match count(text)? {
        threads @ 1..=1024 => Ok(threads),
        _ => Err("expected 1 to 1024".to_owned()),
    }
}

/// What most examples take.
#[derive(Debug, Args)]
pub(crate) struct Usual {
    /// A small size: a look that takes a second
    #[arg(long)]
    pub(crate) quick: bool,
    /// Threads of the solver [default: all cores]
    #[arg(long, value_parser = threads, allow_negative_numbers = true)]
    threads: Option<usize>,
    /// Draw what was computed
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
}

impl Usual {
    /// The threads asked for; an error where --plot cannot be written.
    pub(crate) fn cpu(&self) -> Result<Cpu, Misuse> {
        if let Some(path) = &self.plot {
            super::svg::check(path)?;
        }
        Ok(match self.threads {
            Some(threads) => Cpu::with_threads(threads)?,
            None => Cpu::new(),
        })
    }
}
