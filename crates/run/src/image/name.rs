//! What people call images.
//!
//! A name stands in the layout's index where other tools look for it. Those
//! that begin with `runtime/` are the station's: one for each of its runtimes
//! that names an image, so that whatever a runtime names is kept.

use std::{fmt, str::FromStr};

use strongroom_core::runtime::RuntimeName;

use super::ImageError;

const LEN_MAX: usize = 200;
const OF_RUNTIMES: &str = "runtime/";

/// A name such as `python3`, `lab/base:2` or `registry:5000/lab/base:2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName(String);

impl ImageName {
    /// What the station calls the image of one of its runtimes.
    pub fn of_runtime(runtime: &RuntimeName) -> Self {
        Self(format!("{OF_RUNTIMES}{runtime}"))
    }

    /// The runtime that this name is for.
    pub fn runtime(&self) -> Option<&str> {
        self.0.strip_prefix(OF_RUNTIMES)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageName {
    type Err = ImageError;

    fn from_str(raw: &str) -> Result<Self, ImageError> {
        let wrong = |why| ImageError::Name {
            raw: raw.to_owned(),
            why,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/+".contains(&byte);
        if raw.is_empty() || LEN_MAX < raw.len() {
            return Err(wrong("it has 1 to 200 characters"));
        }
        if !raw.bytes().all(plain) || !raw.starts_with(|first: char| first.is_ascii_alphanumeric())
        {
            return Err(wrong(
                "it is made of letters, digits and `._-:/+`, and begins with one of the first two",
            ));
        }
        if raw.starts_with("sha256:") {
            return Err(wrong("digests begin like that"));
        }
        if raw.starts_with(OF_RUNTIMES) {
            return Err(wrong("these are the station's own"));
        }
        Ok(Self(raw.to_owned()))
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
