//! Images pushed to registries and pulled from them, by the distribution API.
//!
//! What a registry sends is taken for hostile: every document and every blob
//! is checked against the digest and the length that it was asked for by, and
//! an image that is not whole is none; its blobs wait for the next attempt, or
//! to be cleared away. Credentials go to the registry and to the service that
//! it names, and over plain HTTP nowhere but to this machine. Absent on
//! purpose: trying again. What went wrong is said, and what has arrived is not
//! sent twice.

mod conversation;
mod credentials;
mod pull;
mod push;
mod reference;

use std::io;

use strongroom_core::text::shown;
use strongroom_run::image::ImageError;

pub use pull::pull;
pub use push::push;
pub use reference::RegistryReference;

/// Why an image was not pushed or pulled. Nothing here has changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("`{}` names no image of a registry: {why}", shown(.raw, 120))]
    Reference { raw: String, why: &'static str },
    #[error("{registry} does not answer")]
    Unreachable {
        registry: String,
        source: Box<ureq::Error>,
    },
    #[error("{registry} wants to know who asks for {what}")]
    Unknown { registry: String, what: String },
    #[error("{registry} does not let you have {what}")]
    Denied { registry: String, what: String },
    #[error("{registry} has no {what}")]
    NotThere { registry: String, what: String },
    #[error("{registry} is asked too often{}", after(.seconds))]
    TooOften {
        registry: String,
        seconds: Option<u64>,
    },
    #[error("{registry} answers {status} when asked for {what}")]
    Answered {
        registry: String,
        what: String,
        status: u16,
    },
    #[error("{registry} answers what makes no sense: {why}")]
    Nonsense { registry: String, why: &'static str },
    #[error("the credentials in {path} cannot be read")]
    Credentials { path: String, source: io::Error },
    #[error("`{program}` did not give credentials: {why}")]
    Helper { program: String, why: String },
    #[error(transparent)]
    Image(#[from] ImageError),
}

fn after(seconds: &Option<u64>) -> String {
    match seconds {
        Some(seconds) => format!("; it says to try again in {seconds} s"),
        None => "; try again later".to_owned(),
    }
}

#[cfg(test)]
mod tests;
