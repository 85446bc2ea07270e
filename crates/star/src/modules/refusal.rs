//! Why a function of a module gives no answer.
//!
//! The text is for the person who wrote the script: it says what was wrong
//! with what he passed, and where the bound is when there is one.

/// A refusal by a module. The script sees its text behind a backtrace.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Argument(String),
    #[error("cannot read {what}: {why}")]
    Malformed { what: &'static str, why: String },
    #[error("{what} is larger than {size_max} {unit}")]
    TooLarge {
        what: &'static str,
        size_max: u64,
        unit: &'static str,
    },
    #[error("{what} is nested deeper than {depth_max} levels")]
    TooDeep {
        what: &'static str,
        depth_max: usize,
    },
    #[error("{0} is not implemented")]
    NotImplemented(String),
    #[error("{0} does not exist in this environment")]
    NotHere(String),
}

impl From<Refusal> for starlark::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new_value(refusal)
    }
}

/// Something is wrong with what was passed.
pub fn argument(text: impl Into<String>) -> starlark::Error {
    Refusal::Argument(text.into()).into()
}

/// Something cannot be read as what it should be.
pub fn malformed(what: &'static str, why: impl std::fmt::Display) -> starlark::Error {
    let why = why.to_string();
    Refusal::Malformed { what, why }.into()
}

/// Something has more bytes than a bound allows.
pub fn too_many_bytes(what: &'static str, size_max: usize) -> starlark::Error {
    Refusal::TooLarge {
        what,
        size_max: size_max as u64,
        unit: "bytes",
    }
    .into()
}
