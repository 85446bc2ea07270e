//! The stages of a run: the parts of a function that each get a sandbox.
//!
//! `expose` sees data and hands one value to `download`; `download` reaches a
//! network and sees no data; `transform` sees data and what was downloaded,
//! and makes the result. Which of them a function has is decided when it is
//! pushed, from its manifest or from the text of its entry, and stands in the
//! plan: nothing inside a sandbox has a say. Absent on purpose: a stage with
//! data and a network.

mod found;
mod javascript;

use serde::{Deserialize, Serialize};

pub(crate) use found::{functions_of, has_download_step};
pub(crate) use javascript::exports_of;

/// A part of a function, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Data, no network; makes the one value that `download` is told of it.
    Expose,
    /// A network, no data.
    Download,
    /// Data, no network; makes the result.
    Transform,
}

/// What a caller wants of a function that defines `expose`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Expose {
    /// It is refused.
    #[default]
    Off,
    /// Every owner of the data is asked, and has to name `expose` in his yes.
    AskOwners,
    /// The caller owns all of the data and wrote the function himself.
    AllDatasets,
}

/// Where a stage finds the value of the one before.
pub const FOLDER: &str = "/stage";
/// The longest value of `expose`, in bytes of canonical JSON: the owners of
/// the data read it.
pub const EXPOSED_LEN_MAX: u64 = 1 << 20;
/// Why a function that defines `expose` does not run.
pub const EXPOSE_OFF: &str = "this function defines `expose`, which sends data to its network \
    stage; that is off unless the data's owners allow it";

impl Stage {
    pub const ALL: [Self; 3] = [Self::Expose, Self::Download, Self::Transform];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expose => "expose",
            Self::Download => "download",
            Self::Transform => "transform",
        }
    }

    /// Whether the run's inputs are shown to it.
    pub fn sees_data(self) -> bool {
        match self {
            Self::Expose | Self::Transform => true,
            Self::Download => false,
        }
    }

    /// Whether it may have a network: just the one that sees no data.
    pub fn has_network(self) -> bool {
        !self.sees_data()
    }

    /// The stage whose value it is given.
    pub fn reads(self) -> Option<Self> {
        match self {
            Self::Expose => None,
            Self::Download => Some(Self::Expose),
            Self::Transform => Some(Self::Download),
        }
    }

    /// The file in [`FOLDER`] with the value of this stage.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Expose => "expose.json",
            Self::Download => "download.json",
            Self::Transform => "transform.json",
        }
    }
}

impl std::str::FromStr for Stage {
    type Err = StagesError;

    fn from_str(raw: &str) -> Result<Self, StagesError> {
        let found = Self::ALL.into_iter().find(|stage| stage.as_str() == raw);
        found.ok_or_else(|| StagesError::Unknown(raw.to_owned()))
    }
}

/// Why stages do not make a function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StagesError {
    #[error("there is no stage `{}`; there are expose, download and transform", crate::text::shown(.0, 40))]
    Unknown(String),
    #[error("the stage {} is there twice", .0.as_str())]
    Twice(Stage),
    #[error("`transform` is always one of them")]
    NoTransform,
    #[error("there is `expose` and no `download`, which alone could use what it says")]
    NobodyToExposeTo,
}

/// The stages of a function without any but its `transform`.
pub(crate) fn plain() -> Vec<Stage> {
    vec![Stage::Transform]
}

pub(crate) fn is_plain(stages: &[Stage]) -> bool {
    *stages == [Stage::Transform]
}

/// The stages in the order in which they run, if they make a function.
pub(crate) fn ordered(named: impl IntoIterator<Item = Stage>) -> Result<Vec<Stage>, StagesError> {
    let mut stages: Vec<Stage> = named.into_iter().collect();
    stages.sort();
    if let Some(twice) = stages.windows(2).find(|two| two[0] == two[1]) {
        return Err(StagesError::Twice(twice[0]));
    }
    if !stages.contains(&Stage::Transform) {
        return Err(StagesError::NoTransform);
    }
    if stages.contains(&Stage::Expose) && !stages.contains(&Stage::Download) {
        return Err(StagesError::NobodyToExposeTo);
    }
    Ok(stages)
}
