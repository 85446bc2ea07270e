//! Why the station did not do what it was asked.
//!
//! A variant for each thing that a caller can act on; all that is the
//! station's own trouble is one variant, whose cause is logged and never
//! shown. Status codes are the door's business.

use std::{error::Error, fmt::Write as _};

use strongroom_core::{manifest::ManifestError, plan::PlanError, rule::RuleError, tree::TreeError};
use strongroom_store::{BlobError, Lack, StoreError};

use super::incoming::IncomingError;

/// Why the station did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// It is not there, or the caller may not know of it.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The token that opened the door opens it no more.
    #[error("the token was revoked or has run out")]
    TokenGone,
    /// The owners of what it was computed from do not allow it any more.
    #[error(
        "an owner of the data does not allow it any more, so nothing of what came out is shown"
    )]
    Withheld,
    /// What was sent cannot be read.
    #[error("{detail}")]
    Malformed { code: &'static str, detail: String },
    /// What was sent can be read and breaks a law.
    #[error("{detail}")]
    Invalid { code: &'static str, detail: String },
    /// It does not go with how things stand.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    TooLarge(String),
    /// There is a bound on how many; some have to end first.
    #[error("{0}")]
    TooMany(String),
    /// The station's host lacks something, and may be mended.
    #[error("on the station's host, {0}")]
    Lacking(Lack),
    #[error(transparent)]
    Incoming(#[from] IncomingError),
    /// The station is at fault.
    #[error("could not {attempt}")]
    Internal {
        attempt: &'static str,
        source: Box<dyn Error + Send + Sync>,
    },
}

impl AppError {
    /// A law that was broken, with the whole chain of what is wrong.
    pub fn invalid(code: &'static str, error: &dyn Error) -> Self {
        Self::Invalid {
            code,
            detail: chain(error),
        }
    }

    /// The station's own trouble while it tried to do `attempt`.
    pub fn internal<E: Into<Box<dyn Error + Send + Sync>>>(
        attempt: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Internal {
            attempt,
            source: source.into(),
        }
    }
}

/// An error's message and those of its causes, joined by colons.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

impl From<PlanError> for AppError {
    fn from(error: PlanError) -> Self {
        let code = match error {
            PlanError::Args { .. } | PlanError::ArgsTooLong | PlanError::ArgsTooDeep => "bad_args",
            PlanError::Limits(_) => "bad_limits",
            PlanError::ExposeOff => "expose_off",
            PlanError::Config(_) => "bad_config",
            _ => "bad_inputs",
        };
        Self::invalid(code, &error)
    }
}

impl From<ManifestError> for AppError {
    fn from(error: ManifestError) -> Self {
        Self::invalid("bad_manifest", &error)
    }
}

impl From<TreeError> for AppError {
    fn from(error: TreeError) -> Self {
        Self::invalid("bad_path", &error)
    }
}

impl From<RuleError> for AppError {
    fn from(error: RuleError) -> Self {
        Self::invalid("bad_rules", &error)
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound("thing"),
            StoreError::Conflict { what } => Self::Conflict(what),
            StoreError::TooMany { .. } => Self::TooMany(error.to_string()),
            StoreError::Cursor => Self::Malformed {
                code: "bad_cursor",
                detail: format!("after: {error}"),
            },
            StoreError::BlobMissing { .. } => Self::invalid("blob_missing", &error),
            StoreError::Lacking { lack, .. } => Self::Lacking(lack),
            StoreError::Blob(blob) => blob.into(),
            other => Self::internal("use the store")(other),
        }
    }
}

impl From<BlobError> for AppError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            BlobError::Mismatch { .. } => Self::invalid("digest_mismatch", &error),
            BlobError::Lacking { lack, .. } => Self::Lacking(lack),
            other => Self::internal("store a file")(other),
        }
    }
}
