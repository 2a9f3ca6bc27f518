//! What can go wrong on the caller's or a device's side. Not converging is no error: see
//! [`Termination`](crate::Termination).

/// Misuse, or a backend that could not do its work. A message starts with the argument and says
/// what was expected and what was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array of the wrong shape.
    #[error("{argument}: expected shape {expected}, got {got}")]
    Shape {
        /// The argument's name.
        argument: &'static str,
        /// The shape it must have, with the names of its axes.
        expected: String,
        /// The shape it has.
        got: String,
    },
    /// A NaN or an infinity in the data of a problem.
    #[error("{argument}{index:?}: expected a finite number, got {value}")]
    NonFinite {
        /// The argument's name.
        argument: &'static str,
        /// Index of the first such entry.
        index: Vec<usize>,
        /// The entry.
        value: f64,
    },
    /// A setting outside of its range.
    #[error("{setting}: expected {expected}, got {got}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// What is allowed.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A file that could not be read or written, or that holds something else.
    #[error("{file}: {operation} failed: {source}")]
    File {
        /// Its path; `bytes` for content that was given as such.
        file: String,
        /// What was done with it.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The backend could not be set up or failed.
    #[error("{backend}: {operation} failed: {source}")]
    Backend {
        /// The backend's name.
        backend: &'static str,
        /// What it was doing.
        operation: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// `Ok` with the value, or an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A [`Error::Shape`] from anything that prints.
    pub(crate) fn shape(
        argument: &'static str,
        expected: impl Into<String>,
        got: &[usize],
    ) -> Self {
        Error::Shape { argument, expected: expected.into(), got: format!("{got:?}") }
    }

    /// A [`Error::Setting`] from anything that prints.
    pub(crate) fn setting(
        setting: &'static str,
        expected: impl Into<String>,
        got: impl ToString,
    ) -> Self {
        Error::Setting { setting, expected: expected.into(), got: got.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use std::error::Error as _;

    #[test]
    fn a_failure_is_told_with_its_cause() {
        let error = Error::Backend {
            backend: "cpu",
            operation: "starting 3 threads".to_owned(),
            source: "the system gives no more".into(),
        };
        assert_eq!(error.to_string(), "cpu: starting 3 threads failed: the system gives no more");
        assert_eq!(error.source().unwrap().to_string(), "the system gives no more");
    }
}
